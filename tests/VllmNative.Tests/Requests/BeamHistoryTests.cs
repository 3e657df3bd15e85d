using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Requests;

public sealed class BeamHistoryTests
{
    private const int Logprobs = 2;

    [Fact]
    public void Held_sequences_stay_as_they_are_and_nothing_else_is_kept()
    {
        Seeds.Each(100, seed =>
        {
            var random = new Random(seed);
            // Small, so that it grows.
            var history = new BeamHistory(width: 1, maxTokens: 2, Logprobs);
            List<(int Sequence, int[] Ids)> held = [(history.Root, [])];
            Say(history, history.Root, []);
            for (int turn = 0; turn < 200; turn++)
            {
                int at = random.Next(held.Count);
                (int sequence, int[] ids) = held[at];
                if (held.Count > 1 && random.Next(5) < 2)
                {
                    history.Release(sequence);
                    held.RemoveAt(at);
                }
                else if (random.Next(4) == 0)
                {
                    history.Hold(sequence);
                    held.Add(held[at]);
                }
                else
                {
                    int id = random.Next(1000);
                    int added = history.Add(sequence, new BeamToken(id, id / 8f, id + 1));
                    held.Add((added, [.. ids, id]));
                    Say(history, added, held[^1].Ids);
                }

                // Equal beginnings of different sequences are kept twice, which chance makes rare: ids are told apart by the whole sequence.
                int reached = held.SelectMany(one => Enumerable.Range(0, one.Ids.Length + 1).Select(length => string.Join(',', one.Ids[..length]))).Distinct().Count();
                Assert.InRange(history.Count, reached, reached + 1);
            }

            Assert.All(held, one => AssertPosted(history, one.Sequence, one.Ids));
        });
    }

    [Fact]
    public void A_request_takes_over_the_tokens_of_a_sequence()
    {
        Seeds.Each(100, seed =>
        {
            var random = new Random(seed);
            var history = new BeamHistory(width: 2, maxTokens: 20, logprobs: 0);
            int common = random.Next(10);
            int length = random.Next(common, 20);
            (int from, int[] fromIds) = (history.Root, []);
            (int like, int[] likeIds) = (from, fromIds);
            for (int i = 0; i < length; i++)
            {
                bool alike = like == from && i < common;
                (int one, int other) = (random.Next(50), 50 + random.Next(50));
                (from, fromIds) = (history.Add(from, new BeamToken(one, 0, 1)), [.. fromIds, one]);
                (like, likeIds) = alike ? (from, fromIds) : (history.Add(like, new BeamToken(other, 0, 1)), [.. likeIds, other]);
            }

            bool known = random.Next(2) == 0;
            var request = new Request(1, [7, 8, 9], SamplingParams.Greedy, 20, [], blockSize: 4, seed: 1);
            foreach (int id in known ? likeIds : [.. likeIds.Select(id => id + 1000)])
            {
                request.Append(id);
            }

            history.Copy(request, known ? like : null, from, length);
            Assert.Equal([7, 8, 9, .. fromIds], request.Tokens.ToArray());
        });
    }

    // Two log-probabilities that tell what they stand behind.
    private static void Say(BeamHistory history, int sequence, int[] ids) => history.AddTop(sequence, [ids.Length, ids.Sum()], [-ids.Length, -ids.Sum()]);

    private static void AssertPosted(BeamHistory history, int sequence, int[] ids)
    {
        var mailbox = new Mailbox(ids.Length + 1, Logprobs);
        history.Post(new BeamHypothesis(ids.Length + 1, sequence, new BeamToken(5, -0.5f, 3), Score: 0, Stopped: false), mailbox);
        List<int> posted = [];
        mailbox.Drain(0, posted);
        Assert.Equal([.. ids, 5], posted);
        for (int i = 0; i <= ids.Length; i++)
        {
            PositionLogprobs said = mailbox.Logprobs!.Read(i, posted[i]);
            int[] before = ids[..i];
            Assert.Equal([new TokenLogprob(i, -i, 1), new TokenLogprob(before.Sum(), -before.Sum(), 2)], said.Top);
            Assert.Equal(i < ids.Length ? new TokenLogprob(ids[i], ids[i] / 8f, ids[i] + 1) : new TokenLogprob(5, -0.5f, 3), said.Sampled);
        }
    }
}
