using VllmNative.Recording;
using VllmNative.Steps;

namespace VllmNative.Simulation;

/// <summary>The device of a simulated engine: it computes nothing, and says how time goes by. Steps come back in their order.</summary>
internal interface IVirtualDevice
{
    /// <summary>Whether it cannot say what further steps take.</summary>
    bool Lost { get; }

    /// <summary>Whether the engine has been told to stop: it hands over no further steps.</summary>
    bool Stopped { get; }

    /// <summary>When a request comes to the engine's queue.</summary>
    double ComesAt(RecordedRequest request);

    /// <summary>When the engine's thread looks around next, at <paramref name="now"/> or later.</summary>
    double NextAction(double now);

    /// <summary>Takes a step.</summary>
    /// <returns>When the engine's thread has handed it over.</returns>
    double Submit(StepPlan plan, double now);

    /// <summary>What became of the oldest step that is not back yet.</summary>
    VirtualStep Collect();

    /// <summary>Whether a request that just got its last token ends with it; otherwise somebody ends it later.</summary>
    bool EndsWithLastToken(RecordedRequest request);
}

/// <summary>A step that came back.</summary>
/// <param name="Submitted">When it was handed over.</param>
/// <param name="Ended">When it was back.</param>
/// <param name="Seconds">From the end of the step before it, or from its submission when that was later.</param>
/// <param name="SwapsDone">The block copies of all steps up to this one have happened.</param>
/// <param name="SwapBytes">Bytes of copies that happened since the step before.</param>
/// <param name="SwapSeconds">What these took.</param>
internal readonly record struct VirtualStep(double Submitted, double Ended, double Seconds, long SwapsDone, long SwapBytes, double SwapSeconds);
