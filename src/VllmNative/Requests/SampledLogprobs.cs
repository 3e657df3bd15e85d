namespace VllmNative.Requests;

/// <summary>
/// Log-probabilities of a request's generated positions in flat arrays. Written by the engine thread before the position's
/// token is posted, read by the reader after it was drained: the mailbox's count orders the two.
/// </summary>
/// <param name="maxTokens">Most positions.</param>
/// <param name="width">Most likely tokens at each.</param>
/// <param name="requestedIds">Tokens that are named at each.</param>
internal sealed class SampledLogprobs(int maxTokens, int width, int[] requestedIds)
{
    private readonly float[] _sampled = new float[maxTokens];
    private readonly int[] _ranks = new int[maxTokens];
    private readonly int[] _topIds = new int[maxTokens * width];
    private readonly float[] _top = new float[maxTokens * width];

    private readonly float[] _requested = new float[maxTokens * requestedIds.Length];

    internal int Width => width;

    internal int[] RequestedIds => requestedIds;

    internal void Write(int position, float sampled, int rank, ReadOnlySpan<int> topIds, ReadOnlySpan<float> top, ReadOnlySpan<float> requested)
    {
        requested.CopyTo(_requested.AsSpan(position * requestedIds.Length));
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

        return new PositionLogprobs(new TokenLogprob(sampledId, _sampled[position], _ranks[position]), best) { Requested = Requested(position) };
    }

    private TokenLogprob[] Requested(int position)
    {
        var named = new TokenLogprob[requestedIds.Length];
        for (int i = 0; i < named.Length; i++)
        {
            named[i] = new TokenLogprob(requestedIds[i], _requested[(position * named.Length) + i], Rank: 0);
        }

        return named;
    }
}
