using Xunit;

namespace VllmNative.Tests.Performance;

/// <summary>Tests that measure the process or the machine run alone.</summary>
[CollectionDefinition(nameof(PerformanceCollection), DisableParallelization = true)]
public sealed class PerformanceCollection;
