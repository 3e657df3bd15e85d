using VllmNative.Requests;
using VllmNative.Steps;
using VllmNative.Tests.Execution;
using Xunit;

namespace VllmNative.Tests.Scheduling;

/// <summary>Seeded random lives of a scheduler; the harness and the fake device check every turn.</summary>
public sealed class SchedulerRandomTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Any_sequence_of_operations_keeps_the_invariants_and_every_token(int stepsInFlight)
    {
        long preemptions = 0;
        int finished = 0;
        int aborted = 0;
        for (int seed = 0; seed < 150; seed++)
        {
            try
            {
                using var life = new Life(seed, stepsInFlight);
                life.Live(operations: 120);
                preemptions += life.Preemptions;
                finished += life.Finished;
                aborted += life.Aborted;
            }
            catch (Exception error)
            {
                throw new InvalidOperationException($"seed {seed}, {stepsInFlight} in flight: {error.Message}", error);
            }
        }

        // The lives were eventful.
        Assert.True(preemptions > 500 && finished > 2000 && aborted > 200, $"{preemptions} preemptions, {finished} finished, {aborted} aborted");
    }

    private sealed class Life : IDisposable
    {
        private readonly Random _random;
        private readonly SchedulerHarness _harness;
        private readonly HashSet<Request> _disturbed = [];
        private readonly int _longest;

        internal Life(int seed, int stepsInFlight)
        {
            _random = new Random(seed);
            int blockSize = 1 << _random.Next(0, 4);
            int numBlocks = _random.Next(5, 30);
            int maxSeqs = _random.Next(1, 7);
            _longest = (numBlocks - 1) * blockSize;
            _harness = new SchedulerHarness(numBlocks, blockSize, maxSeqs, _random.Next(maxSeqs, 40), _random.Next(3) == 0 ? _random.Next(1, 9) : 0, stepsInFlight);
            _harness.Device.FailRow = (plan, row) => _random.Next(400) == 0 ? Disturb(plan, row, RowStatus.NotANumber) : RowStatus.Ok;
            _harness.Device.FailStep = FailStep;
        }

        internal long Preemptions => _harness.Scheduler.Preemptions;

        internal int Finished => _harness.Requests.Count - _disturbed.Count;

        internal int Aborted { get; private set; }

        internal void Live(int operations)
        {
            for (int i = 0; i < operations; i++)
            {
                switch (_random.Next(10))
                {
                    case < 3:
                        Add();
                        break;
                    case 3 when _harness.Requests.Count > 0:
                        Abort(_harness.Requests[_random.Next(_harness.Requests.Count)]);
                        break;
                    default:
                        _harness.Turn();
                        break;
                }
            }

            _harness.Drain(mostTurns: 200 + (4 * _harness.Requests.Sum(request => request.PromptLength + request.MaxTokens)));
            Assert.Equal(0, _harness.Pool.Used);
            Assert.All(_harness.Requests, Check);
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
            _harness.Add(FakeLanguage.Prompt(_random.Next(), prompt), maxTokens, parameters, stops);
        }

        private void Abort(Request request)
        {
            if (request.Status != RequestStatus.Finished)
            {
                _disturbed.Add(request);
                Aborted++;
                _harness.End(request);
            }
        }

        private RowStatus Disturb(StepPlan plan, int row, RowStatus status)
        {
            _disturbed.Add(_harness.Scheduler.RequestAt(plan.Rows[row].Row));
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
}
