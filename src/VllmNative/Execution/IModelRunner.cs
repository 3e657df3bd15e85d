using VllmNative.Steps;

namespace VllmNative.Execution;

/// <summary>Computes steps, a few in flight at a time, in the order in which they were submitted.</summary>
internal interface IModelRunner : IDisposable
{
    /// <summary>Most steps in flight.</summary>
    int MaxStepsInFlight { get; }

    /// <summary>Hands a step over; plan and result belong to the runner until the step is collected.</summary>
    void Submit(StepPlan plan, StepResult result);

    /// <summary>Waits for the oldest step in flight; its result says whether it failed.</summary>
    /// <returns>False when the step did not end in time: the device hangs, and no other step will come back either.</returns>
    bool Collect(TimeSpan timeout);
}
