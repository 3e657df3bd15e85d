using VllmNative.Diagnostics;
using VllmNative.Engine;

namespace VllmNative.Bench.Serving;

/// <summary>What a benchmark of an engine measures.</summary>
internal abstract record ServingSettings
{
    /// <summary>What to load; see <see cref="EngineOptionsFor"/> for what is filled in.</summary>
    internal required EngineOptions Engine { get; init; }

    /// <summary>The engine's options, with what the benchmark needs where nothing else was said.</summary>
    internal abstract EngineOptions EngineOptionsFor();

    /// <summary>What will be done, in one line, for whoever waits for it.</summary>
    internal abstract string Describe();

    /// <exception cref="VllmException">A value is out of range; the message names the option.</exception>
    internal abstract void Validate();
}
