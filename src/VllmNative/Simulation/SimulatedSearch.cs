using VllmNative.Recording;
using VllmNative.Requests;
using VllmNative.Scheduling;

namespace VllmNative.Simulation;

/// <summary>
/// A beam search: the first step brings all its beams, and from there on each goes on with itself. Which beam went on from which one was not
/// recorded, so its beams share less than they did.
/// </summary>
internal sealed class SimulatedSearch : SimulatedRequest
{
    // So much likelier is a beam's best token than its others that no beam ever gives way to another.
    private const float Unlikely = -1e9f;

    private readonly BeamGroup _group;
    private readonly SyntheticSequence[] _tokens;
    private readonly int[] _ids;
    private readonly float[] _logprobs;

    /// <param name="recorded">A beam search.</param>
    /// <param name="number">Its own, above 0.</param>
    /// <param name="tokens">Stand for what was not recorded.</param>
    /// <param name="setup">The engine, which has rows for all beams.</param>
    /// <param name="queued">When it comes.</param>
    internal SimulatedSearch(RecordedRequest recorded, int number, SyntheticTokens tokens, TraceHeader setup, double queued)
        : base(recorded)
    {
        int width = recorded.Beams;
        SyntheticSequence first = tokens.Of(recorded, number);
        _tokens = [.. Enumerable.Range(0, width).Select(beam => first.With(number + (beam * (TraceReader.MaxRequests + 1))))];
        (_ids, _logprobs) = (new int[width], new float[width]);
        // It ends with the last token of the record.
        _group = new BeamGroup(SamplingParams.Greedy with { UseBeamSearch = true, N = width }, Math.Max(recorded.OutputLength, 1), width);
        int maxTokens = (int)Math.Min(recorded.MaxTokens, setup.RequestTokens - recorded.PromptLength + 1);
        for (int i = 0; i < width; i++)
        {
            int[] prompt = _tokens[i].Take(recorded.PromptLength);
            _group.Add(new Request(number, prompt, SamplingParams.Greedy, maxTokens, [], setup.BlockSize, seed: 0, i == 0 ? null : Request)
            {
                Scheduling = Scheduling(),
                QueuedAt = queued,
                Beams = _group,
                Beam = i,
            });
        }
    }

    internal override Request Request => _group.Beams[0];

    internal override int OutputLength => _group.Length;

    internal override void Finish(Scheduler scheduler) => scheduler.Finish(_group, failed: false);

    protected override bool TakeTokens(Request request, Scheduler scheduler)
    {
        // The first beam's tokens become those of all, each of which then differs from the others in the blocks that it begins.
        int position = Recorded.PromptLength + _group.Length;
        for (int i = 0; i < _ids.Length; i++)
        {
            int beam = (request.Beam + i) % _ids.Length;
            _ids[i] = _tokens[beam][position];
            _logprobs[i] = i == 0 ? 0 : _group.Length == 0 ? -i : Unlikely;
        }

        if (!_group.Take(request, _ids, _logprobs))
        {
            return false;
        }

        if (_group.TryAdvance())
        {
            scheduler.Advance(_group);
            return false;
        }

        return true;
    }
}
