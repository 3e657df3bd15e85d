using VllmNative.Requests;

namespace VllmNative.Sampling;

/// <summary>Where a step's results lie in one piece of memory, on the device or on the host.</summary>
internal readonly struct StepOutputs(nint data, int maxRows)
{
    // [row flags][ids][flags][logprobs][ranks], each maxRows words; then top ids and top logprobs, as wide as the step asks. What every
    // step has comes first, so that one copy from the start brings what was asked for.
    private const int Always = 3;
    private const int Single = 5;

    private nint Part(int index) => data + (nint)((long)index * maxRows * sizeof(int));

    /// <summary>What vn_batch_prepare found wrong with a row of the step.</summary>
    internal nint RowFlags => Part(0);

    internal nint Ids => Part(1);

    /// <summary>What the sampler found wrong with a row of logits.</summary>
    internal nint Flags => Part(2);

    internal nint Logprobs => Part(3);

    internal nint Ranks => Part(4);

    internal nint TopIds => Part(Single);

    /// <param name="width">Of the step's top ids.</param>
    internal nint TopLogprobs(int width) => Part(Single + width);

    internal static long BytesFor(int maxRows) => BytesUsed(maxRows, SamplingParams.MaxTopLogprobs);

    /// <summary>Bytes from the start that hold what a step produced.</summary>
    /// <param name="maxRows">Most rows of a step.</param>
    /// <param name="topLogprobs">Width of its top ids; -1 = it has no log-probabilities.</param>
    internal static long BytesUsed(int maxRows, int topLogprobs) => (long)maxRows * (topLogprobs < 0 ? Always : Single + (2 * topLogprobs)) * sizeof(int);

    internal static unsafe ReadOnlySpan<int> Ints(nint part, int count) => new((void*)part, count);

    internal static unsafe ReadOnlySpan<float> Floats(nint part, int count) => new((void*)part, count);
}
