using VllmNative.Cache.Eviction;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Scheduling.Policies;
using VllmNative.Steps;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>
/// A scheduler's life that a seed tells: which scheduler, and who comes, goes, forks, is interrupted or fails when. With a disk tier only the
/// operations repeat, since the disk answers when it likes.
/// </summary>
internal sealed class RandomLife : IDisposable
{
    private static readonly string[] Policies = [.. SchedulingPolicies.Names];

    private readonly Random _random;
    private readonly SchedulerHarness _harness;
    private readonly Interruptions _interruptions;
    private readonly HashSet<Request> _disturbed = [];
    private readonly List<(int[] Prompt, BeamReference.Search Search, BeamGroup Group)> _searches = [];
    private readonly HashSet<BeamGroup> _disturbedGroups = [];
    // Their rows in flight are bad, which nobody knows yet.
    private readonly Queue<Request> _doomed = new();
    private readonly bool _hasDisk;
    private readonly int _widest;
    private readonly int _longest;
    private int _aborted;
    private int _forks;
    private int _failures;
    private int _moved;
    private int _interrupted;
    private double _now;

    internal RandomLife(int seed, int stepsInFlight)
    {
        _random = new Random(seed);
        int blockSize = 1 << _random.Next(0, 4);
        int numBlocks = _random.Next(5, 30);
        int maxSeqs = _random.Next(1, 7);
        _longest = (numBlocks - 1) * blockSize;
        bool isStatic = _random.Next(10) == 0;
        _widest = isStatic ? 0 : maxSeqs;
        int diskBlocks = !isStatic && _random.Next(8) == 0 ? _random.Next(4, 200) : 0;
        _hasDisk = diskBlocks > 0;
        bool prefixCaching = !isStatic && (_hasDisk || _random.Next(4) != 0);
        bool hasLatencyTarget = _random.Next(6) == 0;
        var setup = new SchedulerSetup
        {
            Policy = SchedulingPolicies.Create(Policies[_random.Next(Policies.Length)]),
            Preemption = (PreemptionMode)_random.Next(3),
            SwapBlocks = _random.Next(2) * _random.Next(1, 30),
            TierBlocks = _hasDisk ? _random.Next(4, 30) : prefixCaching ? _random.Next(2) * _random.Next(1, 40) : 0,
            BlockBytes = 1000,
            TargetInterTokenLatency = hasLatencyTarget ? 0.001 * _random.Next(1, 6) : null,
        };
        _harness = new SchedulerHarness(
            numBlocks,
            blockSize,
            maxSeqs,
            // What no target bounds is bounded by the budget: one that is never spent shows the target alone.
            hasLatencyTarget ? _random.Next(20, 200) : _random.Next(maxSeqs, 40),
            _random.Next(3) == 0 ? _random.Next(1, 9) : 0,
            stepsInFlight,
            prefixCaching,
            EvictionPolicies.Names[_random.Next(EvictionPolicies.Names.Count)],
            setup,
            isStatic ? _longest : 0,
            diskBlocks: diskBlocks);
        _interruptions = new Interruptions(_harness.Scheduler);
        _harness.StepSeconds = hasLatencyTarget || setup.Preemption == PreemptionMode.Auto ? SecondsOf : null;
        _harness.Device.FailRow = (plan, row) => _random.Next(400) == 0 ? Disturb(plan, row, RowStatus.NotANumber) : RowStatus.Ok;
        _harness.Device.Distribution = tokens => tokens[0] < BeamReference.Marker ? null : BeamReference.Table(tokens, VocabularyOf(tokens[0]));
        _harness.Device.FailStep = FailStep;
        _harness.Device.SwapLag = () => _random.Next(3);
    }

    internal SchedulerHarness Harness => _harness;

    /// <summary>Whether it goes the same way each time: a disk answers when it likes.</summary>
    internal bool Repeats => !_hasDisk;

    internal LifeEvents Events => new(
        _harness.Scheduler.Preemptions,
        _harness.Requests.Count - _disturbed.Count,
        _aborted,
        _harness.Scheduler.Swap?.SwappedIn ?? 0,
        _harness.Prefixes?.Stats.Hits ?? 0,
        _harness.Pool.Evictions,
        _forks,
        _failures,
        _harness.Scheduler.Tier?.Onloaded ?? 0,
        _moved,
        _searches.Count - _disturbedGroups.Count,
        _interrupted,
        _harness.Scheduler.Disk?.Loaded ?? 0,
        _harness.BoundedChunks);

    internal void Live(int operations)
    {
        for (int i = 0; i < operations; i++)
        {
            if (_doomed.TryDequeue(out Request? doomed) && _random.Next(2) == 0)
            {
                End(doomed);
            }

            switch (_random.Next(10))
            {
                case < 3 when _widest > 0 && _random.Next(6) == 0:
                    AddSearch();
                    break;
                case < 3:
                    Add();
                    break;
                case 3 when _searches.Count > 0 && _random.Next(4) == 0:
                    BeamGroup group = _searches[_random.Next(_searches.Count)].Group;
                    End(group.Beams[_random.Next(group.Width)]);
                    break;
                case 3 when _harness.Requests.Count > 0:
                    Disturbance(_harness.Requests[_random.Next(_harness.Requests.Count)]);
                    break;
                case 4 when _harness.Scheduler.RunningCount > 0 && _random.Next(2) == 0:
                    _interruptions.Interrupt(_harness.Scheduler.Running[_random.Next(_harness.Scheduler.RunningCount)]);
                    _interrupted++;
                    break;
                case 5 when _hasDisk:
                    // Turns pass faster than files are written; and what is in memory is not asked for.
                    _harness.Linger(milliseconds: 2);
                    if (_random.Next(3) == 0)
                    {
                        _harness.ResetPrefixCache();
                    }

                    break;
                case 6 when _random.Next(2) == 0:
                    // What comes next comes while as much is in flight as may be.
                    _harness.Submit();
                    break;
                default:
                    _harness.Turn();
                    break;
            }
        }

        _harness.Drain(mostTurns: 200 + (8 * _harness.Requests.Sum(request => request.PromptLength + request.MaxTokens))
            + (8 * _searches.Sum(search => search.Group.Width * (search.Prompt.Length + search.Search.MaxTokens) * search.Search.MaxTokens)));
        _harness.StopDisk();
        _harness.Scheduler.ExpirePins(double.PositiveInfinity);
        Assert.Equal(0, _harness.Pool.Used);
        Assert.Equal(0, _harness.Scheduler.Swap?.Host.Used ?? 0);
        if (_harness.Prefixes is { } prefixes)
        {
            _harness.ResetPrefixCache();
            Assert.Equal((0, 0, 0, 0), (prefixes.Index.Count, prefixes.Roots, _harness.Pool.Cached, _harness.Scheduler.Tier?.Host.Used ?? 0));
        }

        Assert.All(_harness.Requests, Check);
        Assert.All(_searches.Where(search => !_disturbedGroups.Contains(search.Group)), search => BeamSearchTests.AssertSame(BeamReference.Find(search.Prompt, search.Search), search.Group));
        Assert.All(_disturbedGroups.SelectMany(group => group.Beams.ToArray()), beam => Assert.Equal((RequestStatus.Finished, 0, -1), (beam.Status, beam.BlockCount, beam.Row)));
    }

    public void Dispose() => _harness.Dispose();

    private void Add()
    {
        int prompt = _random.Next(1, Math.Min(_longest, 50) + 1);
        int maxTokens = _random.Next(1, Math.Min(_longest - prompt + 1, 25) + 1);
        var parameters = new SamplingParams
        {
            Temperature = _random.Next(2),
            MaxTokens = maxTokens,
            MinTokens = _random.Next(4) == 0 ? _random.Next(maxTokens + 1) : 0,
            FrequencyPenalty = _random.Next(3) == 0 ? 1 : 0,
            Logprobs = _random.Next(4) == 0 ? _random.Next(4) : null,
        };
        int[] stops = _random.Next(2) == 0 ? [] : [.. Enumerable.Range(0, 3).Select(_ => _random.Next(FakeLanguage.Vocabulary)).Distinct().Order()];
        // Some prompts begin alike; where there is a disk most do, or nothing on it would be asked for again.
        int[] ids = FakeLanguage.Prompt(_random.Next(3), prompt);
        int own = _random.Next(_hasDisk ? Math.Min(prompt, 3) : prompt + 1);
        FakeLanguage.Prompt(_random.Next(), own).CopyTo(ids, prompt - own);
        if (_harness.Requests.Count > 0 && _random.Next(4) == 0)
        {
            // As a conversation goes on: with what another one has said so far.
            ReadOnlySpan<int> said = _harness.Requests[_random.Next(_harness.Requests.Count)].Tokens.Span;
            said[..Math.Min(said.Length, prompt)].CopyTo(ids);
        }

        var scheduling = new RequestScheduling
        {
            Priority = _random.Next(-2, 3),
            User = _random.Next(3) == 0 ? null : $"user {_random.Next(3)}",
            CacheSalt = _random.Next(_hasDisk ? 10 : 4) == 0 ? $"salt {_random.Next(2)}" : null,
            SkipReadingPrefixCache = _random.Next(8) == 0,
        };
        _harness.Add(ids, maxTokens, parameters, stops, scheduling, queuedAt: _now += _random.Next(5));
    }

    // Some begin alike, and then the same table continues them.
    private void AddSearch()
    {
        int marker = BeamReference.Marker + _random.Next(12);
        int[] prompt = [marker, .. FakeLanguage.Prompt(_random.Next(3), _random.Next(Math.Min(_longest, 20)))];
        int maxTokens = _random.Next(1, Math.Min(_longest - prompt.Length + 1, 12) + 1);
        int width = _random.Next(1, _widest + 1);
        int[] stopIds = _random.Next(2) == 0 ? [] : [0];
        SamplingParams parameters = SamplingParams.Greedy with
        {
            UseBeamSearch = true,
            N = _random.Next(1, width + 1),
            BestOf = width,
            LengthPenalty = _random.Next(3),
            EarlyStopping = (EarlyStopping)_random.Next(3),
            MinTokens = _random.Next(4) == 0 ? _random.Next(maxTokens + 1) : 0,
        };
        var scheduling = new RequestScheduling { Priority = _random.Next(-2, 3), CacheSalt = _random.Next(4) == 0 ? $"salt {_random.Next(2)}" : null };
        var search = new BeamReference.Search(parameters, maxTokens, stopIds, VocabularyOf(marker));
        BeamGroup group = _harness.AddBeams(prompt, maxTokens, parameters, stopIds, search.Vocabulary, scheduling, queuedAt: _now += _random.Next(5));
        _searches.Add((prompt, search, group));
    }

    // A device that is disturbed at times.
    private double SecondsOf(StepPlan plan)
    {
        StepLoad load = StepLoad.Of(plan);
        double seconds = 0.0005 + (0.0001 * load.Rows) + (0.00005 * load.PrefillTokens) + (1e-6 * load.KvTokens);
        return seconds * (0.9 + (0.2 * _random.NextDouble())) * (_random.Next(50) == 0 ? 4 : 1);
    }

    private static int VocabularyOf(int marker) => 2 + (marker % 7);

    private void Disturbance(Request request)
    {
        if (request.Status == RequestStatus.Finished)
        {
            return;
        }

        int room = _longest - request.Length;
        if (request.Status == RequestStatus.Running && !request.Retracted && room > 0 && _random.Next(2) == 0)
        {
            int maxTokens = _random.Next(1, Math.Min(room, 10) + 1);
            if (request.Scheduled >= request.PromptLength && _random.Next(2) == 0)
            {
                _harness.ForkPrompt(request, maxTokens, SamplingParams.Greedy with { MaxTokens = maxTokens });
            }
            else
            {
                _harness.Fork(request, maxTokens, _random.Next(FakeLanguage.Vocabulary));
            }

            _forks++;
        }
        else if (_random.Next(8) == 0)
        {
            _harness.ResetPrefixCache();
        }
        else if (_random.Next(4) == 0)
        {
            _harness.PinPrefix(request, _now + _random.Next(20));
            _harness.Scheduler.ExpirePins(_now);
        }
        else if (_random.Next(3) == 0)
        {
            _moved += _harness.Defragment();
        }
        else
        {
            End(request);
        }
    }

    private void End(Request request)
    {
        if (request.Status == RequestStatus.Finished)
        {
            return;
        }

        _aborted++;
        if (request.Beams is { } group)
        {
            _disturbedGroups.Add(group);
        }
        else
        {
            _disturbed.Add(request);
        }

        _harness.End(request);
    }

    private RowStatus Disturb(StepPlan plan, int row, RowStatus status)
    {
        Request request = _harness.Scheduler.RequestAt(plan.Rows[row].Row);
        if (request.Beams is { } group)
        {
            _disturbedGroups.Add(group);
        }
        else
        {
            _disturbed.Add(request);
        }

        if (status != RowStatus.Ok)
        {
            _doomed.Enqueue(request);
        }

        _failures++;
        return status;
    }

    private InvalidOperationException? FailStep(StepPlan plan)
    {
        if (_random.Next(150) != 0)
        {
            return null;
        }

        for (int row = 0; row < plan.Rows.Count; row++)
        {
            Disturb(plan, row, RowStatus.Ok);
        }

        return new InvalidOperationException("planned");
    }

    private void Check(Request request)
    {
        int[] output = SchedulerHarness.OutputOf(request);
        MailboxState state = SchedulerHarness.StateOf(request);
        (int[] ids, FinishReason reason) = FakeLanguage.Complete(request.Tokens.Span[..request.PromptLength], request.MaxTokens, request.Parameters.MinTokens, request.StopIds);
        if (_disturbed.Contains(request))
        {
            // Its tokens are right as far as they came.
            Assert.Equal(ids[..Math.Min(ids.Length, output.Length)], output);
        }
        else
        {
            Assert.Equal(ids, output);
            Assert.Equal(reason, state.Finish);
        }

        List<int> posted = [];
        request.Mailbox.Drain(0, posted);
        Assert.Equal(output, posted);
        for (int i = 0; request.Mailbox.Logprobs is { } logprobs && i < output.Length; i++)
        {
            PositionLogprobs position = logprobs.Read(i, output[i]);
            Assert.Equal(new TokenLogprob(output[i], FakeLanguage.Logprob(output[i]), output[i] + 1), position.Sampled);
            Assert.Equal(Enumerable.Range(output[i], logprobs.Width), position.Top.Select(top => top.TokenId));
        }
    }
}
