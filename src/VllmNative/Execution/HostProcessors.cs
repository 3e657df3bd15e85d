using System.Numerics;
using VllmNative.Requests;
using VllmNative.Sampling;
using VllmNative.Steps;
using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>
/// Runs callers' code on logits: the rows concerned come to the host, are changed there and go back, while the step waits. What a
/// processor does wrong is its own request's error. A step without processors does not come here.
/// </summary>
internal sealed unsafe class HostProcessors : IHostProcessors, IDisposable
{
    private readonly Device _device;
    private readonly DeviceEvent _arrived;
    private readonly List<(int PlanRow, string Error)>[] _failures;
    private DeviceBuffer? _rows;
    private StepPlan? _plan;
    private int _slot;

    /// <param name="device">Where the logits lie.</param>
    /// <param name="slots">Steps in flight.</param>
    internal HostProcessors(Device device, int slots)
    {
        _device = device;
        _arrived = new DeviceEvent(device);
        _failures = [.. Enumerable.Range(0, slots).Select(_ => new List<(int, string)>())];
    }

    internal void Begin(StepPlan plan, int slot)
    {
        (_plan, _slot) = (plan, slot);
        _failures[slot].Clear();
    }

    public void Run(Tensor logits)
    {
        ReadOnlySpan<ProcessorCall> calls = _plan!.ProcessorCalls.Span;
        int vocabulary = (int)logits.Dim1;
        long rowBytes = (long)vocabulary * sizeof(float);
        DeviceBuffer rows = RowsFor(calls.Length * rowBytes);
        for (int i = 0; i < calls.Length; i++)
        {
            _device.CopyToHost(rows.Data + (nint)(i * rowBytes), logits.At(calls[i].LogitsRow).Data, rowBytes);
        }

        _arrived.Record();
        _arrived.Synchronize();
        for (int i = 0; i < calls.Length; i++)
        {
            nint row = rows.Data + (nint)(i * rowBytes);
            if (Apply(calls[i], new Span<float>((void*)row, vocabulary)))
            {
                _device.CopyToDevice(logits.At(calls[i].LogitsRow).Data, row, rowBytes);
            }
        }
    }

    /// <summary>Hands over what failed in a slot's step.</summary>
    internal void Report(StepPlan plan, int slot, StepResult result)
    {
        if (plan.ProcessorCalls.Count == 0)
        {
            return;
        }

        foreach ((int planRow, string error) in _failures[slot])
        {
            result.SetProcessorError(planRow, error);
        }
    }

    public void Dispose()
    {
        _arrived.Dispose();
        _rows?.Dispose();
    }

    // False when the row is to stay as it was.
    private bool Apply(in ProcessorCall call, Span<float> logits)
    {
        // Not the processors' fault: the sampler says so.
        if (!AreNumbers(logits))
        {
            return false;
        }

        ReadOnlySpan<int> tokens = call.Tokens.Span;
        foreach (ILogitsProcessor processor in call.Processors)
        {
            if (Try(processor, tokens[..call.PromptLength], tokens[call.PromptLength..], logits) is { } error)
            {
                _failures[_slot].Add((call.PlanRow, $"logits processor {processor.GetType().Name} {error}"));
                return false;
            }
        }

        return true;
    }

    private static string? Try(ILogitsProcessor processor, ReadOnlySpan<int> prompt, ReadOnlySpan<int> output, Span<float> logits)
    {
        try
        {
            processor.Apply(prompt, output, logits);
        }
        catch (Exception error)
        {
            return $"failed: {error.Message.ReplaceLineEndings(" ")}";
        }

        return !AreNumbers(logits) ? "left NaN or +infinity among the logits"
            : !logits.ContainsAnyExcept(float.NegativeInfinity) ? "left no token that may be sampled"
            : null;
    }

    // NaN and +infinity are what is not below infinity.
    private static bool AreNumbers(ReadOnlySpan<float> logits)
    {
        var infinity = new Vector<float>(float.PositiveInfinity);
        int i = 0;
        for (; i <= logits.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            if (!Vector.LessThanAll(new Vector<float>(logits[i..]), infinity))
            {
                return false;
            }
        }

        for (; i < logits.Length; i++)
        {
            if (!(logits[i] < float.PositiveInfinity))
            {
                return false;
            }
        }

        return true;
    }

    // Made when somebody first asks. The stream orders copies of one step behind those of the last, so steps share it.
    private DeviceBuffer RowsFor(long bytes)
    {
        if (_rows is null || _rows.Bytes < bytes)
        {
            _device.Synchronize();
            long room = Math.Max(bytes, 2 * (_rows?.Bytes ?? 0));
            _rows?.Dispose();
            _rows = null;
            _rows = _device.AllocateHost(room);
        }

        return _rows;
    }
}
