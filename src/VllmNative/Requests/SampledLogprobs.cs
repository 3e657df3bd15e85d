namespace VllmNative.Requests;

/// <summary>
/// Log-probabilities of a request's generated positions in flat arrays. Written by the engine thread before the position's
/// token is posted, read by the reader after it was drained: the mailbox's count orders the two.
/// </summary>
internal sealed class SampledLogprobs(int maxTokens, int width)
{
    private readonly float[] _sampled = new float[maxTokens];
    private readonly int[] _ranks = new int[maxTokens];
    private readonly int[] _topIds = new int[maxTokens * width];
    private readonly float[] _top = new float[maxTokens * width];

    internal int Width => width;

    internal void Write(int position, float sampled, int rank, ReadOnlySpan<int> topIds, ReadOnlySpan<float> top)
    {
        _sampled[position] = sampled;
        _ranks[position] = rank;
        topIds[..width].CopyTo(_topIds.AsSpan(position * width));
        top[..width].CopyTo(_top.AsSpan(position * width));
    }

    internal float At(int position) => _sampled[position];

    internal PositionLogprobs Read(int position, int sampledId)
    {
        var best = new TokenLogprob[width];
        for (int i = 0; i < width; i++)
        {
            best[i] = new TokenLogprob(_topIds[(position * width) + i], _top[(position * width) + i], i + 1);
        }

        return new PositionLogprobs(new TokenLogprob(sampledId, _sampled[position], _ranks[position]), best);
    }
}
