namespace VllmNative.Requests;

/// <summary>When a completion counts as repeating itself: its last tokens are one pattern, often enough.</summary>
public sealed record RepetitionDetection
{
    private const int MaxSize = 1024;

    /// <summary>Tokens of the longest pattern looked for, 0..1024; 0 = off.</summary>
    public int MaxPatternSize { get; init; }

    /// <summary>Tokens of the shortest, 0..<see cref="MaxPatternSize"/>; 0 = 1.</summary>
    public int MinPatternSize { get; init; }

    /// <summary>How often the pattern must stand at the end, one behind the other; 2..1024.</summary>
    public int MinCount { get; init; }

    internal void Validate()
    {
        if (MaxPatternSize is < 0 or > MaxSize)
        {
            throw SamplingParams.Invalid("repetition_detection.max_pattern_size", $"repetition_detection.max_pattern_size is {MaxPatternSize}, expected 0..{MaxSize}");
        }

        if (MinPatternSize < 0 || MinPatternSize > MaxPatternSize)
        {
            throw SamplingParams.Invalid("repetition_detection.min_pattern_size", $"repetition_detection.min_pattern_size is {MinPatternSize}, expected 0..{MaxPatternSize} (max_pattern_size)");
        }

        if (MaxPatternSize > 0 && MinCount is < 2 or > MaxSize)
        {
            throw SamplingParams.Invalid("repetition_detection.min_count", $"repetition_detection.min_count is {MinCount}, expected 2..{MaxSize}");
        }
    }

    /// <summary>Whether the tokens end with a repeated pattern.</summary>
    internal bool Found(ReadOnlySpan<int> tokens)
    {
        for (int size = Math.Max(MinPatternSize, 1); size <= MaxPatternSize && (long)size * MinCount <= tokens.Length; size++)
        {
            // A pattern repeats when each token is the one a pattern before it; most sizes differ at the first look.
            int compared = size * (MinCount - 1);
            if (tokens[^compared..].SequenceEqual(tokens[^(compared + size)..^size]))
            {
                return true;
            }
        }

        return false;
    }
}
