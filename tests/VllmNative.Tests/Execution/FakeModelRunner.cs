using VllmNative.Execution;
using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Tests.Execution;

/// <summary>
/// A device in a few arrays. It applies plans as the real one does (row and table updates, last tokens, KV by slot), reads a
/// request's tokens back through its block table, and says what <see cref="FakeLanguage"/> says. It refuses plans that break
/// a rule, blocks that change hands while a step in flight uses them, and plans that change while they are in flight.
/// Results appear when a step is collected, not before; block swaps happen later still. What a failed step or row computed is
/// poisoned: whoever reads it says nonsense.
/// </summary>
internal sealed class FakeModelRunner : IModelRunner
{
    private const int Unwritten = -1;
    private const int Poison = -2;

    private readonly int _maxSeqs;
    private readonly int _maxTokens;
    private readonly int _blockSize;
    private readonly int[,] _tables;
    private readonly int[] _computed;
    private readonly int[] _lastToken;
    private readonly int[] _kv;
    private readonly bool[] _behind;
    private readonly FakeHostBlocks _host;
    private readonly Queue<FakeFlight> _inFlight = new();
    private readonly Queue<(long StepId, BlockSwap Swap)> _swaps = new();
    private long _swapsDone;

    internal FakeModelRunner(int maxStepsInFlight, int maxSeqs, int maxTokens, int numBlocks, int blockSize, int maxBlocks, FakeHostBlocks? host = null)
    {
        MaxStepsInFlight = maxStepsInFlight;
        _maxSeqs = maxSeqs;
        _maxTokens = maxTokens;
        _blockSize = blockSize;
        _tables = new int[maxSeqs, maxBlocks];
        _computed = new int[maxSeqs];
        _lastToken = new int[maxSeqs];
        _kv = new int[numBlocks * blockSize];
        _behind = new bool[maxSeqs];
        _host = host ?? new FakeHostBlocks(0, blockSize);
    }

    public int MaxStepsInFlight { get; }

    /// <summary>Fails the step as a whole.</summary>
    internal Func<StepPlan, Exception?> FailStep { get; set; } = _ => null;

    /// <summary>Gives a row of a plan a bad status.</summary>
    internal Func<StepPlan, int, RowStatus> FailRow { get; set; } = (_, _) => RowStatus.Ok;

    /// <summary>Log-probabilities by token of what follows these tokens; null = <see cref="FakeLanguage"/>'s, of the sampled token.</summary>
    internal Func<int[], float[]?> Distribution { get; set; } = _ => null;

    /// <summary>Called before a step is collected; may block.</summary>
    internal Action BeforeCollect { get; set; } = () => { };

    /// <summary>How many steps later a swap has happened.</summary>
    internal Func<int> SwapLag { get; set; } = () => 1;

    /// <summary>Whether a step that fails leaves its block copies undone, the worst that can happen.</summary>
    internal bool LosesCopiesOfFailedSteps { get; set; }

    internal int StepsInFlight => _inFlight.Count;

    internal int MostStepsInFlight { get; private set; }

    internal bool Disposed { get; private set; }

    /// <summary>The device's block table of a row, as far as it is used.</summary>
    internal int[] TableOf(int row, int blocks) => [.. Enumerable.Range(0, blocks).Select(i => _tables[row, i])];

    public void Submit(StepPlan plan, StepResult result)
    {
        Check(_inFlight.Count < MaxStepsInFlight, "too many steps in flight");
        CheckPlan(plan);
        foreach (RowUpdate update in plan.RowUpdates.Span)
        {
            (_computed[update.Row], _lastToken[update.Row], _behind[update.Row]) = (update.ComputedLength, update.LastToken, false);
        }

        foreach (TableUpdate update in plan.TableUpdates.Span)
        {
            _tables[update.Row, update.Index] = update.Block;
            // What lies behind the computed tokens is a fresh block; before them, one that somebody has filled.
            if (update.Index * _blockSize >= _computed[update.Row])
            {
                CheckFree(update.Block);
                Array.Fill(_kv, Unwritten, update.Block * _blockSize, _blockSize);
            }
        }

        var flight = new FakeFlight(plan, result, FailStep(plan));
        foreach (BlockCopy copy in plan.BlockCopies.Span)
        {
            CheckFree(copy.Destination);
            Check(!plan.BlockCopies.Span.ToArray().Any(other => other.Destination == copy.Source), $"block {copy.Source} is read and written by the copies of a step");
            if (flight.Failure is null || !LosesCopiesOfFailedSteps)
            {
                Array.Copy(_kv, copy.Source * _blockSize, _kv, copy.Destination * _blockSize, _blockSize);
            }
            else
            {
                Array.Fill(_kv, Poison, copy.Destination * _blockSize, _blockSize);
            }
        }

        CheckRows(flight);
        foreach (BlockSwap swap in plan.BlockSwaps.Span)
        {
            Check(swap.ToHost ? !flight.Written.Contains(swap.DeviceBlock) : !flight.Blocks.Contains(swap.DeviceBlock), $"block {swap.DeviceBlock} is swapped by the step that uses it");
            _swaps.Enqueue((plan.StepId, swap));
        }

        Compute(flight);
        _inFlight.Enqueue(flight);
        MostStepsInFlight = Math.Max(MostStepsInFlight, _inFlight.Count);
    }

    public bool Collect(TimeSpan timeout)
    {
        BeforeCollect();
        FakeFlight flight = _inFlight.Dequeue();
        Check(!flight.PlanHasChanged, "the plan changed while it was in flight");
        StepResult result = flight.Result;
        result.Begin(flight.Plan.StepId);
        result.Failure = flight.Failure;
        for (int row = 0; row < flight.Rows.Count; row++)
        {
            result.SetRow(row, flight.Rows[row].Status, flight.Rows[row].Ids);
        }

        FakeLogits.WriteLogprobs(flight, Distribution);
        foreach ((HiddenPooling target, int position, int token) in flight.Hidden)
        {
            target.Add(position, token == Poison ? [float.NaN, float.NaN] : [token, position * token]);
        }

        FinishSwaps(flight.Plan.Rows.Count == 0 ? flight.Plan.StepId : flight.Plan.StepId - SwapLag());
        result.SwapsDone = _swapsDone;
        return true;
    }

    public void Dispose() => Disposed = true;

    private static void Check(bool holds, string message)
    {
        if (!holds)
        {
            throw new InvalidOperationException("fake device: " + message);
        }
    }

    private void CheckPlan(StepPlan plan)
    {
        Check(plan.NumTokens <= _maxTokens && plan.TokenIds.Count <= _maxTokens, $"{plan.NumTokens} tokens, {_maxTokens} are the budget");
        Check(plan.Rows.Count <= _maxSeqs && plan.RowUpdates.Count <= _maxSeqs, $"{plan.Rows.Count} rows, {_maxSeqs} are the most");
        Check(plan.TableUpdates.Count <= (_maxTokens / _blockSize) + (2 * _maxSeqs) + _tables.GetLength(1), $"{plan.TableUpdates.Count} table updates do not fit the buffers");
        Check(plan.Rows.Span.ToArray().Select(row => row.Row).Distinct().Count() == plan.Rows.Count, "a request row stands twice in a plan");
    }

    // Who gets a block anew must be the only one who has anything to do with it.
    private void CheckFree(int block)
    {
        Check(!_inFlight.Any(flight => flight.Blocks.Contains(block)), $"block {block} changes hands while a step in flight uses it");
        Check(!_swaps.Any(swap => swap.Swap.DeviceBlock == block), $"block {block} changes hands while it is swapped");
    }

    private void CheckRows(FakeFlight flight)
    {
        foreach (StepRow row in flight.Plan.Rows.Span)
        {
            for (int i = 0; i < (row.SequenceLength + _blockSize - 1) / _blockSize; i++)
            {
                int block = _tables[row.Row, i];
                flight.Blocks.Add(block);
                bool writes = i >= (row.SequenceLength - row.QueryLength) / _blockSize;
                // Two may read a block at the same time, the copy and a row that shares it.
                Check(!_swaps.Any(swap => swap.Swap.DeviceBlock == block && (writes || !swap.Swap.ToHost)), $"block {block} is used while it is swapped");
                if (writes)
                {
                    Check(flight.Written.Add(block), $"block {block} is written by two rows");
                }
            }
        }
    }

    private void FinishSwaps(long stepId)
    {
        while (_swaps.TryPeek(out (long StepId, BlockSwap Swap) next) && next.StepId <= stepId)
        {
            Span<int> device = _kv.AsSpan(next.Swap.DeviceBlock * _blockSize, _blockSize);
            Span<int> host = _host.TokensOf(next.Swap.HostBlock);
            if (next.Swap.ToHost)
            {
                device.CopyTo(host);
            }
            else
            {
                host.CopyTo(device);
            }

            _swaps.Dequeue();
        }

        _swapsDone = Math.Max(_swapsDone, stepId);
    }

    private void Compute(FakeFlight flight)
    {
        StepPlan plan = flight.Plan;
        int logits = 0;
        for (int i = 0; i < plan.Rows.Count; i++)
        {
            StepRow row = plan.Rows[i];
            if (_behind[row.Row])
            {
                // A step before this one failed, as a whole: what is computed now is dropped with it, and what others in this step find there is nonsense.
                for (int position = row.SequenceLength - row.QueryLength; position < row.SequenceLength; position++)
                {
                    _kv[Slot(row.Row, position)] = Poison;
                }

                flight.Rows.Add((RowStatus.Ok, new int[row.LogitCount]));
                logits += row.LogitCount;
                continue;
            }

            Check(_computed[row.Row] + row.QueryLength == row.SequenceLength, $"row {row.Row} has {_computed[row.Row]} tokens, the plan adds {row.QueryLength} and says {row.SequenceLength}");
            for (int token = 0; token < row.QueryLength; token++)
            {
                Check(row.FirstId >= 0 || row.QueryLength == 1, "only one token can come from the device");
                int id = row.FirstId >= 0 ? plan.TokenIds[row.FirstId + token] : _lastToken[row.Row];
                _kv[Slot(row.Row, _computed[row.Row] + token)] = id;
            }

            RowStatus status = FailRow(plan, i);
            int[] ids = [];
            if (row.GivenCount > 0)
            {
                int firstLogits = logits;
                GivenTokens given = plan.GivenIds.Span.ToArray().Single(given => given.LogitsRow == firstLogits);
                Check(given.Ids.Length == row.GivenCount && row.LogitCount <= row.QueryLength, $"row {row.Row} has logits of tokens that it does not compute");
                ids = given.Ids.ToArray();
            }

            if (row.Samples)
            {
                int logitsRow = logits + row.GivenCount;
                CheckProcessors(plan, i, logitsRow, row);
                int[] history = Read(row);
                flight.Histories.Add(logitsRow, history);
                int id = FakeLanguage.Next(history, candidate => FakeLogits.Banned(plan, logitsRow, candidate));
                ids = [.. ids, id];
                if (status == RowStatus.Ok)
                {
                    _lastToken[row.Row] = id;
                }
            }

            logits += row.LogitCount;
            // Without logits nothing says that they are not numbers.
            bool says = row.LogitCount > 0 || plan.HiddenRows.Count == 0;
            flight.Rows.Add((says ? status : RowStatus.Ok, ids));
            if (status != RowStatus.Ok || flight.Failure is not null)
            {
                for (int token = 0; token < row.QueryLength; token++)
                {
                    _kv[Slot(row.Row, _computed[row.Row] + token)] = Poison;
                }
            }

            TakeHidden(flight, i, row);
            // A step that fails does not come to its commit.
            _behind[row.Row] = flight.Failure is not null;
            _computed[row.Row] += row.QueryLength;
        }
    }

    // The hidden state of a token is what it reads back there; a failed step hands none out.
    private void TakeHidden(FakeFlight flight, int planRow, StepRow row)
    {
        int firstToken = 0;
        for (int i = 0; i < planRow; i++)
        {
            firstToken += flight.Plan.Rows[i].QueryLength;
        }

        foreach (HiddenRows wanted in flight.Plan.HiddenRows.Span)
        {
            for (int i = wanted.FirstToken; flight.Failure is null && i < wanted.FirstToken + wanted.Count; i++)
            {
                int position = wanted.Position + i - wanted.FirstToken;
                if (i >= firstToken && i < firstToken + row.QueryLength)
                {
                    Check(position == _computed[row.Row] + i - firstToken, $"row {row.Row} pools position {position}, which it does not compute there");
                    flight.Hidden.Add((wanted.Target, position, _kv[Slot(row.Row, position)]));
                }
            }
        }
    }

    // Whoever changes logits must be told all tokens that they follow.
    private void CheckProcessors(StepPlan plan, int planRow, int logitsRow, StepRow row)
    {
        foreach (ProcessorCall call in plan.ProcessorCalls.Span)
        {
            Check(
                call.LogitsRow != logitsRow || (call.PlanRow == planRow && call.Tokens.Span.SequenceEqual(Read(row))),
                $"processors of row {row.Row} are not told its tokens");
        }
    }

    private int[] Read(StepRow row)
    {
        var tokens = new int[row.SequenceLength];
        for (int i = 0; i < tokens.Length; i++)
        {
            tokens[i] = _kv[Slot(row.Row, i)];
            Check(tokens[i] != Unwritten, $"row {row.Row} reads position {i}, which nobody wrote");
        }

        return tokens;
    }

    private int Slot(int row, int position) => (_tables[row, position / _blockSize] * _blockSize) + (position % _blockSize);
}
