using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Steps;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>Beam searches over random tables, scheduled on the fake device, against a plain one and against all that there is.</summary>
public sealed class BeamSearchTests
{
    private static readonly SamplingParams Beams = SamplingParams.Greedy with { UseBeamSearch = true };

    [Theory]
    [InlineData(3, 5)]
    [InlineData(4, 4)]
    [InlineData(8, 3)]
    public void Wide_enough_it_finds_the_best_of_all_sequences(int vocabulary, int maxTokens)
    {
        foreach (double penalty in (double[])[0, 0.5, 1, 2])
        {
            // Without equal ones, whose order among all sequences is not that of their tokens.
            for (int table = 1; table < 12; table += 2)
            {
                using var harness = new SchedulerHarness(numBlocks: 400, blockSize: 2, maxSeqs: 64, budget: 200);
                // No more than 64 sequences of a length go on.
                var search = new BeamReference.Search(Beams with { N = 64, LengthPenalty = penalty, EarlyStopping = EarlyStopping.Never }, maxTokens, [0], vocabulary);
                int[] prompt = [BeamReference.Marker + table, 5, 6];
                BeamGroup group = Add(harness, prompt, search);
                harness.Drain();
                BeamReference.Sequence[] all = BeamReference.Everything(prompt, search);
                AssertSame(all, group);
                Assert.True(all.Length > 20, $"only {all.Length} sequences");
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Any_search_finds_what_a_plain_one_finds(int stepsInFlight)
    {
        int stopped = 0;
        int early = 0;
        Seeds.Each(300, seed =>
        {
            var random = new Random(seed);
            BeamReference.Search search = SearchOf(random, mostWidth: 6);
            using var harness = new SchedulerHarness(
                numBlocks: 200, blockSize: 1 << random.Next(5), maxSeqs: 6, budget: random.Next(6, 64), stepsInFlight: stepsInFlight, prefixCaching: random.Next(2) == 0);
            int[] prompt = [BeamReference.Marker + random.Next(100), .. FakeLanguage.Prompt(seed, random.Next(20))];
            BeamGroup group = Add(harness, prompt, search);
            harness.Drain();
            BeamReference.Sequence[] found = BeamReference.Find(prompt, search);
            AssertSame(found, group);
            AssertNothingLeft(harness);
            stopped += found.Count(sequence => sequence.Stopped);
            early += found.All(sequence => sequence.Ids.Length < search.MaxTokens) ? 1 : 0;
        });

        Assert.True(stopped > 200 && early > 50, $"{stopped} stopped, {early} early");
    }

    [Fact]
    public void Bad_words_are_not_chosen()
    {
        using var harness = new SchedulerHarness();
        var search = new BeamReference.Search(Beams with { N = 3 }, 6, [], 5);
        BeamGroup free = Add(harness, [BeamReference.Marker + 1, 7], search);
        harness.Drain();
        (int[] best, _) = OutputOf(free.Beams[0]);
        BeamGroup banned = Add(harness, [BeamReference.Marker + 1, 7], search, badWords: [[best[0], best[1]], [best[3]]]);
        harness.Drain();
        foreach (Request beam in banned.Beams)
        {
            int[] ids = OutputOf(beam).Ids;
            Assert.Equal(6, ids.Length);
            Assert.DoesNotContain(best[3], ids);
            Assert.DoesNotContain(Enumerable.Range(0, 5), i => ids[i] == best[0] && ids[i + 1] == best[1]);
        }

        Assert.NotEqual(best, OutputOf(banned.Beams[0]).Ids);
    }

    [Fact]
    public void Beams_share_blocks_and_copy_one_only_when_they_write()
    {
        using var harness = new SchedulerHarness(numBlocks: 64, blockSize: 4, maxSeqs: 4);
        // 21 tokens: five full blocks and one begun.
        BeamGroup group = Add(harness, [BeamReference.Marker + 1, .. FakeLanguage.Prompt(1, 20)], new BeamReference.Search(Beams with { N = 4 }, 12, [], 8));
        harness.Step();
        Assert.Equal(6, harness.Pool.Used);
        // Three of four write into the begun block's copies; the last one has it for itself.
        Assert.Equal((3, 4), (harness.Submit()!.BlockCopies.Count, harness.Pool.Used - 5));
        int most = 0;
        while (harness.Turn())
        {
            most = Math.Max(most, harness.Pool.Used);
        }

        // Alone each would have nine.
        Assert.InRange(most, 6, 5 + (4 * 4));
        Assert.Equal(12, OutputOf(group.Beams[3]).Ids.Length);
    }

    [Fact]
    public void Tokens_that_no_beam_reaches_any_more_are_forgotten()
    {
        using var harness = new SchedulerHarness(numBlocks: 400, blockSize: 4, maxSeqs: 6);
        int[] prompt = [BeamReference.Marker + 1, 4, 2];
        BeamGroup group = Add(harness, prompt, new BeamReference.Search(Beams with { N = 6 }, 200, [], 8));
        HashSet<string> before = [""];
        harness.Step();
        while (group.Length < 199)
        {
            HashSet<string> reached = [.. Enumerable.Range(0, 6).Where(beam => group.Sources[beam] >= 0).SelectMany(beam => BeginningsOf(group.Beams[beam], prompt.Length))];
            // Besides those of the step before, from which beams have just gone on; the sequence without tokens is none.
            Assert.Equal(reached.Union(before).Count() - 1, group.KeptTokens);
            before = reached;
            harness.Step();
        }

        Assert.InRange(group.KeptTokens, 200, 6 * 100);
        harness.Drain();

        static IEnumerable<string> BeginningsOf(Request beam, int from) =>
            Enumerable.Range(from, beam.Length - from + 1).Select(end => string.Join(',', beam.Tokens.Span[from..end].ToArray()));
    }

    [Fact]
    public void Who_goes_on_alone_is_not_copied()
    {
        using var harness = new SchedulerHarness(numBlocks: 64, blockSize: 16, maxSeqs: 1);
        Add(harness, [BeamReference.Marker + 1, 3], new BeamReference.Search(Beams with { N = 1 }, 10, [], 8));
        for (int step = 0; step < 10; step++)
        {
            StepPlan plan = harness.Step();
            Assert.Equal((0, step == 0 ? 1 : 0, step == 0 ? 1 : 0), (plan.BlockCopies.Count, plan.RowUpdates.Count, plan.TableUpdates.Count));
            Assert.Equal(1, plan.MaxTopLogprobs);
        }

        Assert.Equal(0, harness.Pool.Used);
    }

    [Fact]
    public void Other_requests_go_on_beside_beams_and_keep_two_steps_in_flight()
    {
        using var harness = new SchedulerHarness(numBlocks: 200, blockSize: 4, maxSeqs: 8, stepsInFlight: 2);
        Request canary = harness.Add(9, 40);
        var search = new BeamReference.Search(Beams with { N = 4 }, 20, [0], 6);
        BeamGroup group = Add(harness, [BeamReference.Marker + 3, 1], search);
        BeamGroup other = Add(harness, [BeamReference.Marker + 5, 1, 2], search with { Parameters = Beams with { N = 2, BestOf = 3 } });
        harness.Drain();
        AssertSame(BeamReference.Find([BeamReference.Marker + 3, 1], search), group);
        AssertSame(BeamReference.Find([BeamReference.Marker + 5, 1, 2], search with { Parameters = Beams with { N = 2, BestOf = 3 } }), other);
        Assert.Equal(FakeLanguage.Complete(canary.Tokens.Span[..9], 40, 0, []).Ids, SchedulerHarness.OutputOf(canary));
        Assert.Equal(2, harness.Device.MostStepsInFlight);
    }

    [Theory]
    [InlineData(PreemptionMode.Recompute)]
    [InlineData(PreemptionMode.Swap)]
    public void A_pool_that_is_too_small_for_all_beams_changes_nothing(PreemptionMode mode)
    {
        long preemptions = 0;
        long swaps = 0;
        Seeds.Each(150, seed =>
        {
            var random = new Random(seed);
            int blockSize = 1 << random.Next(3);
            // Longer than the prompt and the tokens of one beam, shorter than what all need.
            int numBlocks = (24 / blockSize) + random.Next(2, 12);
            var setup = new SchedulerSetup { Preemption = mode, SwapBlocks = mode == PreemptionMode.Swap ? random.Next(1, 60) : 0 };
            using var harness = new SchedulerHarness(numBlocks, blockSize, maxSeqs: 8, budget: random.Next(8, 40), stepsInFlight: 1 + random.Next(2), prefixCaching: random.Next(2) == 0, setup: setup);
            harness.Device.SwapLag = () => random.Next(3);
            List<(int[], BeamReference.Search, BeamGroup)> searches = [];
            for (int i = 0; i < 3; i++)
            {
                BeamReference.Search search = SearchOf(random, mostWidth: 6) with { MaxTokens = random.Next(1, 13) };
                search = search with { Parameters = search.Parameters with { MinTokens = 0 } };
                int[] prompt = [BeamReference.Marker + (100 * i) + random.Next(100), .. FakeLanguage.Prompt(seed, random.Next(10))];
                searches.Add((prompt, search, Add(harness, prompt, search)));
            }

            Request canary = harness.Add(5, 10);
            harness.Drain();
            foreach ((int[] prompt, BeamReference.Search search, BeamGroup group) in searches)
            {
                AssertSame(BeamReference.Find(prompt, search), group);
            }

            Assert.Equal(FakeLanguage.Complete(canary.Tokens.Span[..5], 10, 0, []).Ids, SchedulerHarness.OutputOf(canary));
            AssertNothingLeft(harness);
            preemptions += harness.Scheduler.Preemptions;
            swaps += harness.Scheduler.Swap?.SwappedIn ?? 0;
        });

        Assert.True(preemptions > 500 && (mode == PreemptionMode.Swap) == swaps > 100, $"{preemptions} preemptions, {swaps} swaps");
    }

    [Fact]
    public void Groups_that_together_have_more_beams_than_rows_end_all()
    {
        using var harness = new SchedulerHarness(numBlocks: 200, blockSize: 4, maxSeqs: 6, stepsInFlight: 2);
        var search = new BeamReference.Search(Beams with { N = 4 }, 8, [0], 5);
        int[][] prompts = [.. Enumerable.Range(0, 5).Select(i => (int[])[BeamReference.Marker + i, 1])];
        BeamGroup[] groups = [.. prompts.Select(prompt => Add(harness, prompt, search))];
        harness.Drain();
        for (int i = 0; i < groups.Length; i++)
        {
            AssertSame(BeamReference.Find(prompts[i], search), groups[i]);
        }

        AssertNothingLeft(harness);
    }

    [Fact]
    public void A_block_table_that_changes_more_than_a_step_may_is_sent_in_several()
    {
        // Blocks of one token and a budget that leaves room for one table of each step.
        using var harness = new SchedulerHarness(numBlocks: 300, blockSize: 1, maxSeqs: 6, budget: 6, tableUpdates: 6 + 12 + 45);
        var search = new BeamReference.Search(Beams with { N = 6, EarlyStopping = EarlyStopping.Never, LengthPenalty = 2 }, 40, [], 3);
        BeamGroup group = Add(harness, [BeamReference.Marker + 2, 1, 2, 3], search);
        harness.Drain();
        AssertSame(BeamReference.Find([BeamReference.Marker + 2, 1, 2, 3], search), group);
    }

    [Fact]
    public void A_row_that_is_not_a_number_ends_its_group_and_nobody_builds_on_it()
    {
        for (int at = 1; at < 12; at++)
        {
            using var harness = new SchedulerHarness(numBlocks: 100, blockSize: 2, maxSeqs: 8, stepsInFlight: 2, prefixCaching: true);
            int rows = 0;
            harness.Device.FailRow = (plan, row) => harness.Scheduler.RequestAt(plan.Rows[row].Row).Beams is not null && ++rows == at ? RowStatus.NotANumber : RowStatus.Ok;
            var search = new BeamReference.Search(Beams with { N = 3 }, 8, [], 5);
            int[] prompt = [BeamReference.Marker + 1, 4, 5];
            BeamGroup group = Add(harness, prompt, search);
            Request canary = harness.Add(6, 12);
            harness.Drain();
            Assert.All(group.Beams.ToArray(), beam => Assert.Equal((FinishReason.Error, 0), (OutputOf(beam).State.Finish, OutputOf(beam).Ids.Length)));
            Assert.Contains("not numbers", OutputOf(group.Beams[0]).State.Error, StringComparison.Ordinal);
            Assert.Equal(12, canary.OutputLength);
            BeamGroup again = Add(harness, prompt, search);
            harness.Drain();
            AssertSame(BeamReference.Find(prompt, search), again);
            AssertNothingLeft(harness);
        }
    }

    [Fact]
    public void A_group_can_end_at_any_moment()
    {
        for (int turns = 0; turns < 24; turns++)
        {
            for (int beam = 0; beam < 4; beam++)
            {
                var setup = new SchedulerSetup { Preemption = PreemptionMode.Swap, SwapBlocks = 20 };
                using var harness = new SchedulerHarness(numBlocks: 14, blockSize: 2, maxSeqs: 4, budget: 5, stepsInFlight: 2, prefixCaching: true, setup: setup);
                BeamGroup group = Add(harness, [BeamReference.Marker + 1, .. FakeLanguage.Prompt(2, 8)], new BeamReference.Search(Beams with { N = 4 }, 12, [], 5));
                for (int i = 0; i < turns; i++)
                {
                    harness.Turn();
                }

                harness.End(group.Beams[beam]);
                Request next = harness.Add(5, 5);
                harness.Drain();
                Assert.All(group.Beams.ToArray(), one => Assert.Equal(FinishReason.Abort, OutputOf(one).State.Finish));
                Assert.Equal(5, next.OutputLength);
                AssertNothingLeft(harness);
            }
        }
    }

    private static BeamReference.Search SearchOf(Random random, int mostWidth)
    {
        int width = random.Next(1, mostWidth + 1);
        int maxTokens = random.Next(1, 20);
        int vocabulary = random.Next(2, 9);
        SamplingParams parameters = Beams with
        {
            N = random.Next(1, width + 1),
            BestOf = width,
            LengthPenalty = ((double[])[0, 0.5, 1, 2, -1])[random.Next(5)],
            EarlyStopping = (EarlyStopping)random.Next(3),
            MinTokens = random.Next(3) == 0 ? random.Next(maxTokens + 1) : 0,
        };
        int[] stopIds = [.. Enumerable.Range(0, vocabulary - 1).Where(_ => random.Next(4) == 0)];
        return new BeamReference.Search(parameters, maxTokens, stopIds, vocabulary);
    }

    private static BeamGroup Add(SchedulerHarness harness, int[] prompt, BeamReference.Search search, int[][]? badWords = null)
    {
        Func<int[], float[]?> others = harness.Device.Distribution;
        harness.Device.Distribution = tokens => tokens.AsSpan().StartsWith(prompt) ? BeamReference.Table(tokens, search.Vocabulary) : others(tokens);
        return harness.AddBeams(prompt, search.MaxTokens, search.Parameters, search.StopIds, search.Vocabulary, badWords: badWords);
    }

    private static void AssertNothingLeft(SchedulerHarness harness)
    {
        Assert.Equal((0, 0), (harness.Pool.Used, harness.Scheduler.Swap?.Host.Used ?? 0));
        if (harness.Prefixes is { } prefixes)
        {
            harness.ResetPrefixCache();
            Assert.Equal((0, 0), (prefixes.Index.Count, prefixes.Roots));
        }
    }

    private static (int[] Ids, MailboxState State) OutputOf(Request beam)
    {
        List<int> ids = [];
        MailboxState state = beam.Mailbox.Drain(0, ids);
        return ([.. ids], state);
    }

    internal static void AssertSame(BeamReference.Sequence[] expected, BeamGroup group)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            (int[] ids, MailboxState state) = OutputOf(group.Beams[i]);
            Assert.Equal(expected[i].Ids, ids);
            Assert.Equal(expected[i].Score, state.Score!.Value, 1e-12);
            Assert.Equal(expected[i].Stopped ? (FinishReason.Stop, (int?)ids[^1]) : (FinishReason.Length, null), (state.Finish, state.StopTokenId));
            Assert.Equal(expected[i].Logprob, Enumerable.Range(0, ids.Length).Sum(at => (double)group.Beams[i].Mailbox.Logprobs!.At(at)), 1e-9);
        }

        Assert.All(group.Beams[expected.Length..].ToArray(), beam => Assert.Null(OutputOf(beam).State.Score));
    }
}
