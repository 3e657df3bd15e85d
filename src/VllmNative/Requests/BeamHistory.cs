namespace VllmNative.Requests;

/// <summary>
/// Every token that a beam search chose, each with the beam that it continued. Beams share their beginnings here, so that one that goes on from
/// another copies nothing but what the two differ in.
/// </summary>
/// <param name="width">Beams.</param>
/// <param name="maxTokens">Most tokens of a beam.</param>
/// <param name="logprobs">Log-probabilities to keep of each position, beside the chosen token's.</param>
internal sealed class BeamHistory(int width, int maxTokens, int logprobs)
{
    // [tokens, beams]
    private readonly int[] _parents = new int[maxTokens * width];
    private readonly BeamToken[] _tokens = new BeamToken[maxTokens * width];
    private readonly int[] _topIds = new int[maxTokens * width * logprobs];
    private readonly float[] _top = new float[maxTokens * width * logprobs];

    internal void Add(int position, int beam, int parent, BeamToken token) =>
        (_parents[(position * width) + beam], _tokens[(position * width) + beam]) = (parent, token);

    internal int IdAt(int position, int beam) => _tokens[(position * width) + beam].Id;

    /// <summary>Keeps what the model said of a position, given a beam.</summary>
    internal void AddTop(int position, int beam, ReadOnlySpan<int> ids, ReadOnlySpan<float> top)
    {
        int at = ((position * width) + beam) * logprobs;
        ids[..logprobs].CopyTo(_topIds.AsSpan(at));
        top[..logprobs].CopyTo(_top.AsSpan(at));
    }

    /// <summary>Makes a request's tokens those of a beam.</summary>
    /// <param name="request">The request.</param>
    /// <param name="like">A beam whose tokens it has; -1 = none.</param>
    /// <param name="from">The beam.</param>
    /// <param name="length">Tokens of each.</param>
    internal void Copy(Request request, int like, int from, int length)
    {
        for (int i = length - 1; i >= 0 && like != from; i--)
        {
            int row = i * width;
            request.Rewrite(i, _tokens[row + from].Id);
            like = like < 0 ? like : _parents[row + like];
            from = _parents[row + from];
        }

        request.Rewind(length);
    }

    /// <summary>Posts the tokens of a sequence, with their log-probabilities.</summary>
    internal void Post(in BeamHypothesis sequence, Mailbox mailbox)
    {
        // The beam that each token continued.
        int[] beams = new int[sequence.Length];
        beams[^1] = sequence.Beam;
        for (int i = sequence.Length - 2; i >= 0; i--)
        {
            beams[i] = _parents[(i * width) + beams[i + 1]];
        }

        for (int i = 0; i < sequence.Length; i++)
        {
            BeamToken token = i == sequence.Length - 1 ? sequence.Last : _tokens[(i * width) + beams[i + 1]];
            int at = ((i * width) + beams[i]) * logprobs;
            mailbox.Logprobs!.Write(i, token.Logprob, token.Rank, _topIds.AsSpan(at, logprobs), _top.AsSpan(at, logprobs), []);
            mailbox.Post(token.Id);
        }
    }
}

/// <summary>A token that continued a beam: its log-probability and how many tokens were likelier, plus 1.</summary>
internal readonly record struct BeamToken(int Id, float Logprob, int Rank);

/// <summary>A sequence that has ended.</summary>
/// <param name="Length">Tokens, the last included.</param>
/// <param name="Beam">The beam that the last token continues.</param>
/// <param name="Last">The last token.</param>
/// <param name="Score">Cumulative log-probability by length.</param>
/// <param name="Stopped">Whether the last token ended it; otherwise it has the greatest length.</param>
internal readonly record struct BeamHypothesis(int Length, int Beam, BeamToken Last, double Score, bool Stopped);
