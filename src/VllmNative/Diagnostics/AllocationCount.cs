namespace VllmNative.Diagnostics;

/// <summary>What some iterations of a loop allocated.</summary>
/// <param name="Iterations">How many.</param>
/// <param name="Bytes">All of them together.</param>
/// <param name="Largest">The most that one of them allocated.</param>
internal readonly record struct AllocationCount(long Iterations, long Bytes, long Largest)
{
    internal double Mean => Iterations == 0 ? 0 : (double)Bytes / Iterations;

    internal AllocationCount Add(long bytes) => new(Iterations + 1, Bytes + bytes, Math.Max(Largest, bytes));
}
