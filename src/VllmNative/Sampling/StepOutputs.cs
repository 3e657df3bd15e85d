namespace VllmNative.Sampling;

/// <summary>Where a step's results lie in one piece of memory, on the device or on the host.</summary>
internal readonly struct StepOutputs(nint data, int maxRows)
{
    // [row flags][ids][flags][logprobs][ranks], each maxRows words; then top ids and top logprobs. What every step has comes
    // first, so that one copy from the start brings what was asked for.
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

    internal nint TopLogprobs => Part(Single + Sampler.MaxTopLogprobs);

    internal static long BytesFor(int maxRows) => (long)maxRows * (Single + (2 * Sampler.MaxTopLogprobs)) * sizeof(int);

    /// <summary>Bytes from the start that hold what a step produced.</summary>
    internal static long BytesUsed(int maxRows, bool logprobs) => logprobs ? BytesFor(maxRows) : (long)maxRows * Always * sizeof(int);

    internal static unsafe ReadOnlySpan<int> Ints(nint part, int count) => new((void*)part, count);

    internal static unsafe ReadOnlySpan<float> Floats(nint part, int count) => new((void*)part, count);
}
