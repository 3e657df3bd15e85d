using VllmNative.Diagnostics;
using VllmNative.Steps;

namespace VllmNative.Execution;

/// <summary>The one thread that talks to a device. The engine thread hands steps over and picks results up; it makes no native call.</summary>
internal sealed class StepWorker : IModelRunner
{
    private readonly ModelRunner _runner;
    private readonly Thread _thread;
    private readonly SemaphoreSlim _submitted = new(0);
    private readonly SemaphoreSlim _completed = new(0);
    private readonly (StepPlan Plan, StepResult Result)[] _slots;
    private readonly AllocationMeter? _meter;
    private int _next;
    private volatile bool _stop;

    internal StepWorker(ModelRunner runner, int maxStepsInFlight, AllocationMeter? meter = null)
    {
        _runner = runner;
        _meter = meter;
        MaxStepsInFlight = maxStepsInFlight;
        _slots = new (StepPlan, StepResult)[maxStepsInFlight];
        _thread = new Thread(Work) { IsBackground = true, Name = "vllm-native device" };
        _thread.Start();
    }

    public int MaxStepsInFlight { get; }

    public void Submit(StepPlan plan, StepResult result)
    {
        _slots[_next] = (plan, result);
        _next = (_next + 1) % _slots.Length;
        _submitted.Release();
    }

    public void Collect() => _completed.Wait();

    public void Dispose()
    {
        _stop = true;
        _submitted.Release();
        _thread.Join();
        _runner.Dispose();
        _submitted.Dispose();
        _completed.Dispose();
    }

    private void Work()
    {
        for (int slot = 0; ; slot = (slot + 1) % _slots.Length)
        {
            _submitted.Wait();
            if (_stop)
            {
                return;
            }

            (StepPlan plan, StepResult result) = _slots[slot];
            try
            {
                _runner.Run(plan, result);
            }
            catch (Exception error)
            {
                // Whatever failed, the engine decides what becomes of the step's requests.
                result.Failure = error;
            }

            // Before the engine hears of the step, so that whoever waits for its results finds it counted.
            _meter?.EndIteration(plan.SamplingUpdates.Count > 0);
            _completed.Release();
        }
    }
}
