using VllmNative.Execution;
using VllmNative.Steps;

namespace VllmNative.Tests.Execution;

/// <summary>
/// A device in a few arrays. It applies plans as the real one does (row and table updates, last tokens, KV by slot), reads a
/// request's tokens back through its block table, and says what <see cref="FakeLanguage"/> says. It refuses plans that break
/// a rule, blocks that change hands while a step in flight uses them, and plans that change while they are in flight.
/// Results appear when a step is collected, not before.
/// </summary>
internal sealed class FakeModelRunner : IModelRunner
{
    private readonly int _maxSeqs;
    private readonly int _maxTokens;
    private readonly int _blockSize;
    private readonly int[,] _tables;
    private readonly int[] _computed;
    private readonly int[] _lastToken;
    private readonly int[] _kv;
    private readonly bool[] _behind;
    private readonly Queue<Flight> _inFlight = new();

    internal FakeModelRunner(int maxStepsInFlight, int maxSeqs, int maxTokens, int numBlocks, int blockSize, int maxBlocks)
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
    }

    public int MaxStepsInFlight { get; }

    /// <summary>Fails the step as a whole.</summary>
    internal Func<StepPlan, Exception?> FailStep { get; set; } = _ => null;

    /// <summary>Gives a row of a plan a bad status.</summary>
    internal Func<StepPlan, int, RowStatus> FailRow { get; set; } = (_, _) => RowStatus.Ok;

    /// <summary>Called before a step is collected; may block.</summary>
    internal Action BeforeCollect { get; set; } = () => { };

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
            Check(!_inFlight.Any(flight => flight.Blocks.Contains(update.Block)), $"block {update.Block} changes hands while a step in flight uses it");
            _tables[update.Row, update.Index] = update.Block;
            Array.Fill(_kv, -1, update.Block * _blockSize, _blockSize);
        }

        var flight = new Flight(plan, result, Fingerprint(plan), FailStep(plan));
        foreach (StepRow row in plan.Rows.Span)
        {
            for (int i = 0; i < (row.SequenceLength + _blockSize - 1) / _blockSize; i++)
            {
                Check(flight.Blocks.Add(_tables[row.Row, i]), $"block {_tables[row.Row, i]} has two owners");
            }
        }

        Compute(flight);
        _inFlight.Enqueue(flight);
        MostStepsInFlight = Math.Max(MostStepsInFlight, _inFlight.Count);
    }

    public bool Collect(TimeSpan timeout)
    {
        BeforeCollect();
        Flight flight = _inFlight.Dequeue();
        Check(Fingerprint(flight.Plan) == flight.Fingerprint, "the plan changed while it was in flight");
        StepResult result = flight.Result;
        result.Begin(flight.Plan.StepId);
        result.Failure = flight.Failure;
        for (int row = 0; row < flight.Rows.Count; row++)
        {
            result.SetRow(row, flight.Rows[row].Status, flight.Rows[row].Ids);
        }

        WriteLogprobs(flight);
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
        Check(plan.TableUpdates.Count <= (_maxTokens / _blockSize) + (2 * _maxSeqs), $"{plan.TableUpdates.Count} table updates do not fit the buffers");
        Check(plan.Rows.Span.ToArray().Select(row => row.Row).Distinct().Count() == plan.Rows.Count, "a request row stands twice in a plan");
    }

    private void Compute(Flight flight)
    {
        StepPlan plan = flight.Plan;
        int logits = 0;
        for (int i = 0; i < plan.Rows.Count; i++)
        {
            StepRow row = plan.Rows[i];
            if (_behind[row.Row])
            {
                // A step before this one failed, as a whole: what is computed now is dropped with it.
                flight.Rows.Add((RowStatus.Ok, row.LogitCount > 0 ? [0] : []));
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
            if (row.LogitCount > 0)
            {
                int logitsRow = logits;
                int id = FakeLanguage.Next(Read(row), candidate => Banned(plan, logitsRow, candidate));
                ids = [id];
                if (status == RowStatus.Ok)
                {
                    _lastToken[row.Row] = id;
                }
            }

            logits += row.LogitCount;
            flight.Rows.Add((status, ids));
            // A step that fails does not come to its commit.
            _behind[row.Row] = flight.Failure is not null;
            _computed[row.Row] += row.QueryLength;
        }
    }

    private static bool Banned(StepPlan plan, int logitsRow, int id)
    {
        foreach (LogitEdit edit in plan.LogitEdits.Span)
        {
            if (edit.LogitsRow == logitsRow && edit.TokenId == id)
            {
                return float.IsNegativeInfinity(edit.Value);
            }
        }

        return false;
    }

    private int[] Read(StepRow row)
    {
        var tokens = new int[row.SequenceLength];
        for (int i = 0; i < tokens.Length; i++)
        {
            tokens[i] = _kv[Slot(row.Row, i)];
            Check(tokens[i] >= 0, $"row {row.Row} reads position {i}, which nobody wrote");
        }

        return tokens;
    }

    private int Slot(int row, int position) => (_tables[row, position / _blockSize] * _blockSize) + (position % _blockSize);

    private static void WriteLogprobs(Flight flight)
    {
        int width = flight.Plan.MaxTopLogprobs;
        if (width < 0)
        {
            return;
        }

        int[] ids = [.. flight.Rows.SelectMany(row => row.Ids)];
        flight.Result.EnsureTop(width, ids.Length);
        for (int i = 0; i < ids.Length; i++)
        {
            (flight.Result.Logprobs[i], flight.Result.Ranks[i]) = (FakeLanguage.Logprob(ids[i]), ids[i] + 1);
            for (int k = 0; k < width; k++)
            {
                (flight.Result.TopIds[(i * width) + k], flight.Result.TopLogprobs[(i * width) + k]) = (ids[i] + k, FakeLanguage.Logprob(ids[i]) - k);
            }
        }
    }

    private static int Fingerprint(StepPlan plan)
    {
        var hash = new HashCode();
        hash.Add(plan.StepId);
        foreach (StepRow row in plan.Rows.Span)
        {
            hash.Add(row);
        }

        foreach (int id in plan.TokenIds.Span)
        {
            hash.Add(id);
        }

        foreach (TableUpdate update in plan.TableUpdates.Span)
        {
            hash.Add(update);
        }

        foreach (SamplingUpdate update in plan.SamplingUpdates.Span)
        {
            foreach (int id in update.Tokens.Span)
            {
                hash.Add(id);
            }
        }

        return hash.ToHashCode();
    }

    private sealed record Flight(StepPlan Plan, StepResult Result, int Fingerprint, Exception? Failure)
    {
        internal HashSet<int> Blocks { get; } = [];

        internal List<(RowStatus Status, int[] Ids)> Rows { get; } = [];
    }
}
