using VllmNative.Requests;

namespace VllmNative.Tests.Scheduling;

/// <summary>Beam search written down plainly, over random tables in place of a model, and all that there is to find.</summary>
internal static class BeamReference
{
    /// <summary>First token of prompts that a table answers; tables differ by what is added to it. No other prompt has such tokens.</summary>
    internal const int Marker = 1000;

    internal sealed record Sequence(int[] Ids, double Logprob, double Score, bool Stopped);

    internal sealed record Search(SamplingParams Parameters, int MaxTokens, int[] StopIds, int Vocabulary)
    {
        internal double ScoreOf(double logprob, int length) => logprob / Math.Pow(length, Parameters.LengthPenalty);
    }

    /// <summary>What a table says of the tokens behind these: log-probabilities that add up to 1. Even tables have many equal ones.</summary>
    internal static float[] Table(ReadOnlySpan<int> tokens, int vocabulary)
    {
        ulong hash = 14695981039346656037;
        foreach (int token in tokens)
        {
            hash = (hash ^ (uint)token) * 1099511628211;
        }

        var random = new Random((int)(hash ^ (hash >> 32)));
        bool equals = tokens[0] % 2 == 0;
        double[] logits = [.. Enumerable.Range(0, vocabulary).Select(_ => equals ? random.Next(3) : 4 * random.NextDouble())];
        double sum = Math.Log(logits.Sum(Math.Exp));
        return [.. logits.Select(logit => (float)(logit - sum))];
    }

    /// <summary>The sequences that the search finds, best first.</summary>
    internal static Sequence[] Find(int[] prompt, Search search)
    {
        int width = search.Parameters.Candidates;
        List<(int[] Ids, double Logprob)> running = [([], 0)];
        Sequence[] finished = [];
        for (int length = 1; length <= search.MaxTokens; length++)
        {
            bool early = length <= search.Parameters.MinTokens;
            (int[] Ids, double Logprob)[] all = [.. running
                .SelectMany(beam => Table([.. prompt, .. beam.Ids], search.Vocabulary).Select((logprob, id) => ((int[])[.. beam.Ids, id], beam.Logprob + logprob)))
                .Where(next => !early || !search.StopIds.Contains(next.Item1[^1]))
                .OrderByDescending(next => next.Item2)];
            bool Stops(int[] ids) => search.StopIds.Contains(ids[^1]);
            IEnumerable<Sequence> ended = all.Take(width)
                .Where(next => Stops(next.Ids) || length == search.MaxTokens)
                .Select(next => new Sequence(next.Ids, next.Logprob, search.ScoreOf(next.Logprob, length), Stops(next.Ids)));
            finished = [.. finished.Concat(ended).OrderByDescending(sequence => sequence.Score).Take(width)];
            running = [.. all.Where(next => !Stops(next.Ids)).Take(width)];
            if (running.Count == 0 || (finished.Length == width && (search.Parameters.EarlyStopping == EarlyStopping.True || IsHopeless(search, running[0].Logprob, length, finished[^1].Score))))
            {
                break;
            }
        }

        return [.. finished.Take(search.Parameters.N)];
    }

    /// <summary>Every sequence that ends, best first.</summary>
    internal static Sequence[] Everything(int[] prompt, Search search) =>
        [.. Continuations(prompt, [], 0, search).OrderByDescending(sequence => sequence.Score).Take(search.Parameters.N)];

    private static bool IsHopeless(Search search, double logprob, int length, double worst)
    {
        int counted = search.Parameters is { EarlyStopping: EarlyStopping.Never, LengthPenalty: > 0 } ? search.MaxTokens : length;
        return search.ScoreOf(logprob, counted) <= worst;
    }

    private static IEnumerable<Sequence> Continuations(int[] prompt, int[] ids, double logprob, Search search)
    {
        float[] table = Table([.. prompt, .. ids], search.Vocabulary);
        for (int id = 0; id < search.Vocabulary; id++)
        {
            int[] next = [.. ids, id];
            double sum = logprob + table[id];
            bool stops = search.StopIds.Contains(id);
            if (stops || next.Length == search.MaxTokens)
            {
                yield return new Sequence(next, sum, search.ScoreOf(sum, next.Length), stops);
                continue;
            }

            foreach (Sequence sequence in Continuations(prompt, next, sum, search))
            {
                yield return sequence;
            }
        }
    }
}
