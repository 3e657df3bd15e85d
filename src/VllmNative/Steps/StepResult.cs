namespace VllmNative.Steps;

/// <summary>What a row of a step came to.</summary>
[Flags]
internal enum RowStatus
{
    Ok = 0,
    BadToken = 1,
    BadBlock = 2,
    NotANumber = 4,
    ProcessorFailed = 8,
}

/// <summary>What comes up from execution: for each row of the plan its status and the ids it sampled.</summary>
internal sealed class StepResult(int maxRows)
{
    private readonly int[] _idStart = new int[maxRows + 1];
    private readonly RowStatus[] _status = new RowStatus[maxRows];
    private readonly List<(int PlanRow, string Error)> _processorErrors = [];
    private int[] _ids = new int[maxRows];
    private int[] _requestedStart = [];
    private float[] _requested = [];
    private int _requestedCount;

    internal long StepId { get; set; }

    /// <summary>Set when the whole step failed: nothing of it counts.</summary>
    internal Exception? Failure { get; set; }

    /// <summary>
    /// The largest id of a step such that the swaps of every step up to it are over, 0 = none yet. Never beyond this step, and
    /// before it when it failed: who learns here that blocks have moved knows already whether their step failed.
    /// </summary>
    internal long SwapsDone { get; set; }

    /// <summary>Bytes of the swaps that were seen to have happened since the last step that did not fail.</summary>
    internal long SwapBytes { get; set; }

    /// <summary>How long these swaps took, in seconds.</summary>
    internal double SwapSeconds { get; set; }

    /// <summary>Rows of <see cref="TopIds"/> and <see cref="TopLogprobs"/> are this wide; -1 = no log-probabilities.</summary>
    internal int TopWidth { get; set; } = -1;

    /// <summary>By sampled id: its log-probability and rank.</summary>
    internal float[] Logprobs { get; private set; } = new float[maxRows];

    internal int[] Ranks { get; private set; } = new int[maxRows];

    /// <summary>[sampled ids, TopWidth].</summary>
    internal int[] TopIds { get; private set; } = [];

    internal float[] TopLogprobs { get; private set; } = [];

    internal RowStatus StatusOf(int planRow) => _status[planRow];

    /// <summary>Index of the row's first sampled id, for the log-probability arrays.</summary>
    internal int FirstIdOf(int planRow) => _idStart[planRow];

    internal ReadOnlySpan<int> IdsOf(int planRow) => _ids.AsSpan(_idStart[planRow], _idStart[planRow + 1] - _idStart[planRow]);

    /// <summary>Log-probabilities of the tokens that were named for a row of logits; as many as its request named.</summary>
    internal ReadOnlySpan<float> RequestedOf(int logitsRow, int count) => count == 0 ? [] : _requested.AsSpan(_requestedStart[logitsRow], count);

    /// <summary>The next place for such, of a row of logits.</summary>
    internal Span<float> AddRequested(int logitsRow, int count)
    {
        _requestedStart[logitsRow] = _requestedCount;
        _requestedCount += count;
        return _requested.AsSpan(_requestedCount - count, count);
    }

    /// <summary>A processor of the row failed: nothing was sampled for it.</summary>
    internal void SetProcessorError(int planRow, string error)
    {
        _status[planRow] |= RowStatus.ProcessorFailed;
        _processorErrors.Add((planRow, error));
    }

    internal string ProcessorErrorOf(int planRow) => _processorErrors.First(failed => failed.PlanRow == planRow).Error;

    internal void Begin(long stepId)
    {
        _processorErrors.Clear();
        StepId = stepId;
        Failure = null;
        SwapsDone = 0;
        SwapBytes = 0;
        SwapSeconds = 0;
        TopWidth = -1;
        _idStart[0] = 0;
    }

    internal void SetRow(int planRow, RowStatus status, ReadOnlySpan<int> ids)
    {
        _status[planRow] = status;
        int start = _idStart[planRow];
        _idStart[planRow + 1] = start + ids.Length;
        if (start + ids.Length > _ids.Length)
        {
            Array.Resize(ref _ids, Math.Max(_ids.Length * 2, start + ids.Length));
        }

        ids.CopyTo(_ids.AsSpan(start));
    }

    /// <summary>Makes room for the log-probabilities of named tokens, of which there are none yet.</summary>
    internal void EnsureRequested(int logitsRows, int count)
    {
        _requestedCount = 0;
        _requestedStart = _requestedStart.Length < logitsRows ? new int[logitsRows] : _requestedStart;
        _requested = _requested.Length < count ? new float[count] : _requested;
    }

    internal void EnsureTop(int width, int rows)
    {
        TopWidth = width;
        if (Logprobs.Length < rows)
        {
            Logprobs = new float[rows];
            Ranks = new int[rows];
        }

        if (TopIds.Length < rows * width)
        {
            TopIds = new int[rows * width];
            TopLogprobs = new float[rows * width];
        }
    }
}
