namespace VllmNative.Sampling;

/// <summary>Where a step's sampling results lie in one piece of memory, on the device or on the host.</summary>
internal readonly struct SamplerOutputs(nint data, int maxRows)
{
    // [ids][flags][logprobs][ranks], each maxRows words; then top ids and top logprobs.
    private nint Part(int index) => data + (nint)((long)index * maxRows * sizeof(int));

    internal nint Ids => Part(0);

    internal nint Flags => Part(1);

    internal nint Logprobs => Part(2);

    internal nint Ranks => Part(3);

    internal nint TopIds => Part(4);

    internal nint TopLogprobs => Part(4 + Sampler.MaxTopLogprobs);

    internal static long BytesFor(int maxRows, int maxTop) => (long)maxRows * (4 + (2 * maxTop)) * sizeof(int);

    internal static unsafe ReadOnlySpan<int> Ints(nint part, int count) => new((void*)part, count);

    internal static unsafe ReadOnlySpan<float> Floats(nint part, int count) => new((void*)part, count);
}
