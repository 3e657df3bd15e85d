using VllmNative.Steps;
using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>
/// Moves the blocks that plans swap, on a stream beside the compute stream, and tells up to which step that is over. On the
/// device a step's copies wait for what the steps before it compute; no step waits for copies: rows are planned on blocks whose
/// copies were reported. Allocates nothing once as many steps copied at a time as ever will.
/// </summary>
internal sealed class StepSwaps : IDisposable
{
    private const int PlannedPairs = 64;

    // The copies of one step.
    private sealed class Transfer(DeviceEvent begin, DeviceEvent end)
    {
        internal DeviceEvent Begin => begin;

        internal DeviceEvent End => end;

        internal long StepId { get; set; }

        // 0 = it failed: nothing to measure.
        internal long Bytes { get; set; }
    }

    private readonly Device _device;
    private readonly HostKvPool? _host;
    private readonly DisposeScope _owned = new();
    private readonly CopyStream _copies;
    private readonly DeviceEvent _computed;
    private readonly Queue<Transfer> _pending = new();
    private readonly Stack<Transfer> _free = new();
    private BlockPair[] _outs = new BlockPair[PlannedPairs];
    private BlockPair[] _ins = new BlockPair[PlannedPairs];
    private long _bytes;
    private double _seconds;

    /// <param name="device">Whose blocks.</param>
    /// <param name="host">Where they go; null = a plan that swaps fails. The caller disposes it, after this.</param>
    /// <param name="stepsInFlight">How many steps may copy at a time before more is allocated.</param>
    internal StepSwaps(Device device, HostKvPool? host, int stepsInFlight)
    {
        _device = device;
        _host = host;
        try
        {
            _copies = _owned.Add(new CopyStream(device));
            _computed = _owned.Add(new DeviceEvent(device));
            for (int i = 0; i <= stepsInFlight; i++)
            {
                _free.Push(NewTransfer());
            }
        }
        catch
        {
            _owned.Dispose();
            throw;
        }
    }

    /// <summary>The largest id of a completed step up to which all swaps are over; 0 = none yet.</summary>
    internal long Done { get; private set; }

    /// <summary>
    /// Starts the plan's copies, those to the host first, behind all that the compute stream was asked for. Throws when one is
    /// refused; those before it may be under way then.
    /// </summary>
    internal void Launch(StepPlan plan, KvPool kv)
    {
        if (plan.BlockSwaps.Count == 0)
        {
            return;
        }

        HostKvPool host = _host ?? throw new InvalidOperationException($"step {plan.StepId} swaps {plan.BlockSwaps.Count} blocks, but there is no swap space");
        (int outs, int ins) = Sort(plan.BlockSwaps.Span);
        _computed.Record();
        _copies.WaitFor(_computed);
        Transfer transfer = _free.TryPop(out Transfer? used) ? used : NewTransfer();
        (transfer.StepId, transfer.Bytes) = (plan.StepId, 0);
        _copies.Record(transfer.Begin);
        try
        {
            Swap(SwapDirection.Out, _outs.AsSpan(0, outs), kv, host);
            Swap(SwapDirection.In, _ins.AsSpan(0, ins), kv, host);
            transfer.Bytes = plan.BlockSwaps.Count * kv.Group.BlockBytes;
        }
        finally
        {
            _pending.Enqueue(transfer);
            _copies.Record(transfer.End);
        }
    }

    /// <summary>
    /// Tells how far the copies are when a step is completed. Does not wait, unless the step has no rows: then there is nothing
    /// else that it could wait for. Throws when the device is lost.
    /// </summary>
    internal void Report(StepPlan plan, StepResult result)
    {
        Done = Settle(plan.StepId, wait: plan.Rows.Count == 0) ? plan.StepId : _pending.Peek().StepId - 1;
        (result.SwapsDone, result.SwapBytes, result.SwapSeconds) = (Done, _bytes, _seconds);
        (_bytes, _seconds) = (0, 0);
    }

    /// <summary>
    /// Waits until nothing of a failed step is copied any more. Its swaps count as done with the next step that is completed:
    /// first its failure must be known.
    /// </summary>
    internal void Abandon(long stepId)
    {
        Settle(stepId, wait: true);
        Done = Math.Max(Done, stepId - 1);
    }

    public void Dispose() => _owned.Dispose();

    // Whether the copies of every step up to this one are over.
    private bool Settle(long stepId, bool wait)
    {
        while (_pending.TryPeek(out Transfer? oldest) && oldest.StepId <= stepId)
        {
            if (wait)
            {
                oldest.End.Synchronize();
            }
            else if (!oldest.End.HasHappened)
            {
                return false;
            }

            if (oldest.Bytes > 0)
            {
                _seconds += oldest.Begin.MillisecondsUntil(oldest.End) / 1e3;
                _bytes += oldest.Bytes;
            }

            _free.Push(_pending.Dequeue());
        }

        return true;
    }

    private (int Outs, int Ins) Sort(ReadOnlySpan<BlockSwap> swaps)
    {
        if (swaps.Length > _outs.Length)
        {
            int length = Math.Max(swaps.Length, 2 * _outs.Length);
            (_outs, _ins) = (new BlockPair[length], new BlockPair[length]);
        }

        (int outs, int ins) = (0, 0);
        foreach (ref readonly BlockSwap swap in swaps)
        {
            if (swap.ToHost)
            {
                _outs[outs++] = new BlockPair(swap.DeviceBlock, swap.HostBlock);
            }
            else
            {
                _ins[ins++] = new BlockPair(swap.HostBlock, swap.DeviceBlock);
            }
        }

        return (outs, ins);
    }

    private void Swap(SwapDirection direction, ReadOnlySpan<BlockPair> pairs, KvPool kv, HostKvPool host)
    {
        if (pairs.Length > 0)
        {
            _copies.SwapBlocks(direction, pairs, kv, host);
        }
    }

    private Transfer NewTransfer() => new(_owned.Add(new DeviceEvent(_device)), _owned.Add(new DeviceEvent(_device)));
}
