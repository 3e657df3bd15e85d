namespace VllmNative.Requests;

/// <summary>
/// A beam search: so many requests, its beams, whose next tokens are chosen together when the steps of all have returned. Each step the best
/// continuations over all beams go on, and those among the best that end a sequence are kept apart, as transformers does. Owned by the engine thread.
/// </summary>
internal sealed class BeamGroup
{
    private const int Nobody = -1;

    private readonly SamplingParams _parameters;
    private readonly int _maxTokens;
    private readonly int[][] _badWords;
    private readonly Request[] _beams;
    private readonly BeamHistory _history;
    private readonly BeamHypotheses _finished;

    // By beam: what its last step said, best first, how far that was looked at, and its log-probability so far.
    private readonly int[] _topIds;
    private readonly float[] _top;
    private readonly int[] _looked;
    private readonly double[] _logprobs;

    // By beam: its sequence in the history, and the one that it had before the last choice; -1 = none. Both are held.
    private int[] _sequences;
    private int[] _before;

    // Live beams by rank: equal continuations are chosen in this order.
    private readonly int[] _ranked;
    private readonly Choice[] _chosen;
    private readonly int[] _sources;
    private int _count = 1;
    private int _chosenCount;
    private int _returned;

    /// <param name="parameters">Validated; with a beam search.</param>
    /// <param name="maxTokens">Most tokens of a sequence.</param>
    /// <param name="candidates">Log-probabilities that each beam's step brings; see <see cref="CandidatesOf"/>.</param>
    /// <param name="badWords">Token sequences whose last token is banned behind the others.</param>
    internal BeamGroup(SamplingParams parameters, int maxTokens, int candidates, int[][]? badWords = null)
    {
        (_parameters, _maxTokens, TopLogprobs, _badWords) = (parameters, maxTokens, candidates, badWords ?? []);
        Width = parameters.Candidates;
        _beams = new Request[Width];
        _history = new BeamHistory(Width, maxTokens, parameters.SampledLogprobs);
        _finished = new BeamHypotheses(Width, _history);
        _topIds = new int[Width * candidates];
        _top = new float[Width * candidates];
        _looked = new int[Width];
        _logprobs = new double[Width];
        _ranked = new int[Width];
        _chosen = new Choice[Width];
        _sources = new int[Width];
        (_sequences, _before) = (new int[Width], new int[Width]);
        Array.Fill(_sequences, Nobody);
        Array.Fill(_before, Nobody);
        _sequences[0] = _history.Root;
    }

    /// <summary>Most beams.</summary>
    internal int Width { get; }

    /// <summary>Log-probabilities that a beam's step brings.</summary>
    internal int TopLogprobs { get; }

    /// <summary>Tokens that each live beam has.</summary>
    internal int Length { get; private set; }

    /// <summary>Tokens of beams that are kept, those that several share once.</summary>
    internal int KeptTokens => _history.Count - 1;

    /// <summary>Whether rows of the device are kept for its beams.</summary>
    internal bool HoldsRows { get; set; }

    /// <summary>How many of these rows its beams have.</summary>
    internal int RowsTaken { get; set; }

    /// <summary>Beams by number; those that have never lived are unknown to the scheduler.</summary>
    internal ReadOnlySpan<Request> Beams => _beams;

    /// <summary>By beam: the beam whose sequence it goes on with, often itself; -1 = it is not used now. Valid after <see cref="TryAdvance"/>.</summary>
    internal ReadOnlySpan<int> Sources => _sources;

    /// <summary>
    /// Log-probabilities that each beam must bring so that the best continuations are among them: as many as go on, and every token that could not,
    /// because it ends the sequence or is banned.
    /// </summary>
    internal static long CandidatesOf(int width, int stopIds, int badWords, int vocabulary) => Math.Min((long)width + stopIds + badWords, vocabulary);

    /// <summary>Adds a beam, in the order of their numbers; the first one computes the prompt.</summary>
    internal void Add(Request request) => _beams[request.Beam] = request;

    /// <summary>A beam's step has returned.</summary>
    /// <param name="request">The beam.</param>
    /// <param name="ids">The likeliest tokens, best first.</param>
    /// <param name="logprobs">Their log-probabilities.</param>
    /// <returns>Whether all beams' steps have returned.</returns>
    internal bool Take(Request request, ReadOnlySpan<int> ids, ReadOnlySpan<float> logprobs)
    {
        int at = request.Beam * TopLogprobs;
        ids[..TopLogprobs].CopyTo(_topIds.AsSpan(at));
        logprobs[..TopLogprobs].CopyTo(_top.AsSpan(at));
        _history.AddTop(_sequences[request.Beam], ids, logprobs);
        request.AwaitsBeams = true;
        return ++_returned == _count;
    }

    /// <summary>Chooses what goes on; false when the search has ended.</summary>
    internal bool TryAdvance()
    {
        bool last = Choose();
        Length++;
        _returned = 0;
        if (last || _chosenCount == 0 || (_finished.Full && _parameters.EarlyStopping == EarlyStopping.True) || !CanImprove())
        {
            return false;
        }

        AssignBeams();
        return true;
    }

    /// <summary>Gives a beam the tokens that it goes on with.</summary>
    internal void GiveTokens(int beam)
    {
        if (_sources[beam] != beam)
        {
            _history.Copy(_beams[beam], _before[beam] == Nobody ? null : _before[beam], _before[_sources[beam]], Length - 1);
        }

        _beams[beam].Append(_history.IdOf(_sequences[beam]));
        _beams[beam].LastTokenOnDevice = false;
        _beams[beam].AwaitsBeams = false;
    }

    /// <summary>Posts the best sequences to the first beams' mailboxes, with which they end. There are fewer than asked for only where no more exist.</summary>
    /// <returns>Why the best one ended.</returns>
    internal FinishReason Post()
    {
        for (int i = 0; i < Math.Min(_parameters.N, _finished.Count); i++)
        {
            BeamHypothesis sequence = _finished[i];
            Mailbox mailbox = _beams[i].Mailbox;
            _history.Post(sequence, mailbox);
            mailbox.Finish(sequence.Stopped ? FinishReason.Stop : FinishReason.Length, sequence.Stopped ? sequence.Last.Id : null, null, sequence.Score);
        }

        return _finished.Count > 0 && _finished[0].Stopped ? FinishReason.Stop : FinishReason.Length;
    }

    // True when there is nothing to choose from at the next token.
    private bool Choose()
    {
        bool last = Length + 1 == _maxTokens;
        Array.Fill(_looked, Nobody);
        for (int i = 0; i < _count; i++)
        {
            _looked[_ranked[i]] = 0;
        }

        _chosenCount = 0;
        for (int place = 0; place < Width || (!last && _chosenCount < Width); place++)
        {
            if (!TryNext(out Choice next))
            {
                break;
            }

            bool stops = _beams[next.Beam].IsStop(next.Token.Id);
            if (!stops && !last)
            {
                _chosen[_chosenCount++] = next;
            }
            else if (place < Width)
            {
                // Who ends a sequence without being among the best would not have gone on either.
                _finished.Add(new BeamHypothesis(Length + 1, _sequences[next.Beam], next.Token, ScoreOf(next.Logprob, Length + 1), stops));
            }
        }

        return last;
    }

    // The best continuation that was not looked at yet; of equals that of the first beam.
    private bool TryNext(out Choice next)
    {
        int best = Nobody;
        double bestLogprob = double.NegativeInfinity;
        for (int i = 0; i < _count; i++)
        {
            int beam = _ranked[i];
            while (_looked[beam] < TopLogprobs && IsBanned(beam, _topIds[(beam * TopLogprobs) + _looked[beam]]))
            {
                _looked[beam]++;
            }

            double logprob = _looked[beam] < TopLogprobs ? _logprobs[beam] + _top[(beam * TopLogprobs) + _looked[beam]] : double.NegativeInfinity;
            if (logprob > bestLogprob)
            {
                (best, bestLogprob) = (beam, logprob);
            }
        }

        next = best == Nobody ? default : new Choice(best, TokenAt(best, _looked[best]++), bestLogprob);
        return best != Nobody;
    }

    private BeamToken TokenAt(int beam, int place)
    {
        ReadOnlySpan<float> top = _top.AsSpan(beam * TopLogprobs, TopLogprobs);
        return new BeamToken(_topIds[(beam * TopLogprobs) + place], top[place], top.IndexOf(top[place]) + 1);
    }

    private bool IsBanned(int beam, int id)
    {
        if (Length < _parameters.MinTokens && _beams[beam].IsStop(id))
        {
            return true;
        }

        foreach (int[] word in _badWords)
        {
            if (word[^1] == id && _beams[beam].Tokens.Span[_beams[beam].PromptLength..].EndsWith(word.AsSpan(0, word.Length - 1)))
            {
                return true;
            }
        }

        return false;
    }

    private bool CanImprove()
    {
        bool hopes = _parameters.EarlyStopping == EarlyStopping.Never && _parameters.LengthPenalty > 0;
        return ScoreOf(_chosen[0].Logprob, hopes ? _maxTokens : Length) > _finished.Worst;
    }

    private double ScoreOf(double logprob, int length) => logprob / Math.Pow(length, _parameters.LengthPenalty);

    // The first continuation of a beam stays where its K/V lies; others take beams that do not go on.
    private void AssignBeams()
    {
        LetSequencesGo();
        Array.Fill(_sources, Nobody);
        for (int i = 0; i < _chosenCount; i++)
        {
            int beam = _chosen[i].Beam;
            _ranked[i] = _sources[beam] == Nobody ? beam : Nobody;
            _sources[beam] = beam;
        }

        int free = 0;
        for (int i = 0; i < _chosenCount; i++)
        {
            if (_ranked[i] == Nobody)
            {
                free = Array.IndexOf(_sources, Nobody, free);
                (_ranked[i], _sources[free]) = (free, _chosen[i].Beam);
            }

            _sequences[_ranked[i]] = _history.Add(_before[_chosen[i].Beam], _chosen[i].Token);
            _logprobs[_ranked[i]] = _chosen[i].Logprob;
        }

        _count = _chosenCount;
    }

    // Those before the present ones are kept until now, since beams that go on from others look at where the two differ.
    private void LetSequencesGo()
    {
        foreach (int sequence in _before)
        {
            _history.Release(sequence);
        }

        (_sequences, _before) = (_before, _sequences);
        Array.Fill(_sequences, Nobody);
    }

    private readonly record struct Choice(int Beam, BeamToken Token, double Logprob);
}
