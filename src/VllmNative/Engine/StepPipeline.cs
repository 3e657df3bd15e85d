using VllmNative.Execution;
using VllmNative.Scheduling;
using VllmNative.Steps;

namespace VllmNative.Engine;

/// <summary>The steps that the runner has been given and that have not come back yet, in their order; plans and results are reused.</summary>
internal sealed class StepPipeline
{
    private readonly IModelRunner _runner;
    private readonly TimeSpan _stepTimeout;
    private readonly StepPlan[] _plans;
    private readonly StepResult[] _results;
    private readonly long[] _submitted;
    private int _oldest;
    private long _lastId;
    private long _lastCollected;

    internal StepPipeline(IModelRunner runner, SchedulerLimits limits, TimeSpan stepTimeout)
    {
        _runner = runner;
        _stepTimeout = stepTimeout;
        _plans = new StepPlan[runner.MaxStepsInFlight];
        _results = new StepResult[runner.MaxStepsInFlight];
        _submitted = new long[runner.MaxStepsInFlight];
        for (int i = 0; i < _plans.Length; i++)
        {
            _plans[i] = new StepPlan(limits.MaxNumSeqs, limits.MaxNumBatchedTokens);
            _results[i] = new StepResult(limits.MaxNumSeqs);
        }
    }

    internal int InFlight { get; private set; }

    internal bool IsFull => InFlight == _plans.Length;

    /// <summary>Whether a step did not come back in time: none will.</summary>
    internal bool Hangs { get; private set; }

    /// <summary>The plan of the next step, to be filled; it counts when it is submitted.</summary>
    internal StepPlan Next()
    {
        StepPlan plan = _plans[Slot];
        plan.StepId = _lastId + 1;
        return plan;
    }

    /// <summary>Gives the plan that <see cref="Next"/> gave to the runner.</summary>
    internal void Submit()
    {
        int slot = Slot;
        _lastId++;
        _submitted[slot] = TimeProvider.System.GetTimestamp();
        _runner.Submit(_plans[slot], _results[slot]);
        InFlight++;
    }

    /// <summary>Waits for the oldest step.</summary>
    /// <exception cref="EngineDeadException">It took longer than the step timeout.</exception>
    internal CollectedStep Collect()
    {
        if (!_runner.Collect(_stepTimeout))
        {
            Hangs = true;
            throw new EngineDeadException($"the device is lost: a step took longer than {_stepTimeout.TotalSeconds:0.###} s (StepTimeout)");
        }

        int slot = _oldest;
        _oldest = (_oldest + 1) % _plans.Length;
        InFlight--;
        // Steps run one after the other: each from the end of the last, or from its own submission.
        long now = TimeProvider.System.GetTimestamp();
        double seconds = TimeProvider.System.GetElapsedTime(Math.Max(_submitted[slot], _lastCollected), now).TotalSeconds;
        _lastCollected = now;
        return new CollectedStep(_plans[slot], _results[slot], _submitted[slot], now, seconds);
    }

    private int Slot => (_oldest + InFlight) % _plans.Length;
}

/// <summary>A step that came back.</summary>
/// <param name="Plan">What it was to do; reused after the next submission.</param>
/// <param name="Result">What came of it; reused likewise.</param>
/// <param name="Submitted">Timestamp.</param>
/// <param name="Collected">Timestamp.</param>
/// <param name="Seconds">How long it took.</param>
internal readonly record struct CollectedStep(StepPlan Plan, StepResult Result, long Submitted, long Collected, double Seconds);
