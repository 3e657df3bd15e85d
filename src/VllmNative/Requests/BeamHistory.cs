namespace VllmNative.Requests;

/// <summary>
/// The tokens that a beam search chose, as a tree: beams share their beginnings, so that one that goes on from another copies nothing but what the
/// two differ in. What no holder reaches any more is used again, so that memory grows with what beams differ in and not with their number.
/// </summary>
internal sealed class BeamHistory
{
    private const int None = -1;

    private readonly int _logprobs;
    private Node[] _nodes;
    private int[] _topIds;
    private float[] _top;
    private int _used;
    private int _firstFree = None;

    /// <param name="width">Beams.</param>
    /// <param name="maxTokens">Most tokens of a beam.</param>
    /// <param name="logprobs">Log-probabilities to keep of each position, beside the chosen token's.</param>
    internal BeamHistory(int width, int maxTokens, int logprobs)
    {
        _logprobs = logprobs;
        // Enough for beams that differ in their last tokens; others make it grow.
        int nodes = maxTokens + (4 * width);
        _nodes = new Node[nodes];
        _topIds = new int[nodes * logprobs];
        _top = new float[nodes * logprobs];
        Root = Add(None, default);
    }

    /// <summary>The sequence without tokens; held from the beginning.</summary>
    internal int Root { get; }

    /// <summary>Sequences that are kept, each with its last token and the sequence that this continues.</summary>
    internal int Count { get; private set; }

    /// <summary>Continues a sequence by a token; the new one is held.</summary>
    internal int Add(int sequence, BeamToken token)
    {
        if (sequence != None)
        {
            Hold(sequence);
        }

        int added = Take();
        _nodes[added] = new Node { Parent = sequence, Holders = 1, Token = token };
        return added;
    }

    /// <summary>Keeps a sequence until it has been released once more.</summary>
    internal void Hold(int sequence) => _nodes[sequence].Holders++;

    /// <summary>Gives a sequence up, and those before it that nobody else reaches.</summary>
    internal void Release(int sequence)
    {
        while (sequence != None && --_nodes[sequence].Holders == 0)
        {
            int parent = _nodes[sequence].Parent;
            (_nodes[sequence].Parent, _firstFree) = (_firstFree, sequence);
            Count--;
            sequence = parent;
        }
    }

    /// <summary>The last token of a sequence.</summary>
    internal int IdOf(int sequence) => _nodes[sequence].Token.Id;

    /// <summary>Keeps what the model said of the token behind a sequence.</summary>
    internal void AddTop(int sequence, ReadOnlySpan<int> ids, ReadOnlySpan<float> top)
    {
        ids[.._logprobs].CopyTo(_topIds.AsSpan(sequence * _logprobs));
        top[.._logprobs].CopyTo(_top.AsSpan(sequence * _logprobs));
    }

    /// <summary>Makes a request's tokens those of a sequence.</summary>
    /// <param name="request">The request.</param>
    /// <param name="like">A sequence whose tokens it has, as long; null = none.</param>
    /// <param name="from">The sequence.</param>
    /// <param name="length">Its tokens.</param>
    internal void Copy(Request request, int? like, int from, int length)
    {
        int same = like ?? None;
        for (int i = length - 1; i >= 0 && same != from; i--)
        {
            request.Rewrite(i, _nodes[from].Token.Id);
            same = same == None ? None : _nodes[same].Parent;
            from = _nodes[from].Parent;
        }

        request.Rewind(length);
    }

    /// <summary>Posts the tokens of an ended sequence, with their log-probabilities.</summary>
    internal void Post(in BeamHypothesis ended, Mailbox mailbox)
    {
        // What each token continued.
        int[] before = new int[ended.Length];
        before[^1] = ended.Sequence;
        for (int i = before.Length - 1; i > 0; i--)
        {
            before[i - 1] = _nodes[before[i]].Parent;
        }

        for (int i = 0; i < before.Length; i++)
        {
            BeamToken token = i == before.Length - 1 ? ended.Last : _nodes[before[i + 1]].Token;
            int at = before[i] * _logprobs;
            mailbox.Logprobs!.Write(i, token.Logprob, token.Rank, _topIds.AsSpan(at, _logprobs), _top.AsSpan(at, _logprobs), []);
            mailbox.Post(token.Id);
        }
    }

    private int Take()
    {
        Count++;
        if (_firstFree != None)
        {
            int free = _firstFree;
            _firstFree = _nodes[free].Parent;
            return free;
        }

        if (_used == _nodes.Length)
        {
            Array.Resize(ref _nodes, _used * 2);
            Array.Resize(ref _topIds, _used * 2 * _logprobs);
            Array.Resize(ref _top, _used * 2 * _logprobs);
        }

        return _used++;
    }

    // Of a free one the parent is the next free one.
    private struct Node
    {
        internal int Parent;
        internal int Holders;
        internal BeamToken Token;
    }
}

/// <summary>A token that continued a beam: its log-probability and how many tokens were likelier, plus 1.</summary>
internal readonly record struct BeamToken(int Id, float Logprob, int Rank);

/// <summary>A sequence that has ended.</summary>
/// <param name="Length">Tokens, the last included.</param>
/// <param name="Sequence">What the last token continues.</param>
/// <param name="Last">The last token.</param>
/// <param name="Score">Cumulative log-probability by length.</param>
/// <param name="Stopped">Whether the last token ended it; otherwise it has the greatest length.</param>
internal readonly record struct BeamHypothesis(int Length, int Sequence, BeamToken Last, double Score, bool Stopped);
