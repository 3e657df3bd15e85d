using VllmNative.Diagnostics;
using VllmNative.Steps;

namespace VllmNative.Execution;

/// <summary>
/// The one thread that talks to a device. The engine thread orders "launch this step" and "bring the oldest step home", and
/// makes no native call itself. Orders are followed one by one, so the next step is launched before the last one is waited for.
/// </summary>
internal sealed class StepWorker : IModelRunner
{
    // An order for each step to launch and each to bring home, and one to stop.
    private enum Order
    {
        Launch,
        Complete,
        Stop,
    }

    private sealed class Slot
    {
        internal StepPlan? Plan;
        internal StepResult? Result;
        internal Exception? Failure;
    }

    private readonly ModelRunner _runner;
    private readonly Thread _thread;
    // Kernel objects, not their slim kin: those spin for a while first, and a step is longer than any spin.
    private readonly Semaphore _ordered;
    private readonly AutoResetEvent _completed = new(false);
    private readonly Order[] _orders;
    private readonly Slot[] _slots;
    private readonly AllocationMeter? _meter;
    private int _nextOrder;
    private int _nextSlot;
    private bool _abandoned;

    internal StepWorker(ModelRunner runner, AllocationMeter? meter = null)
    {
        _runner = runner;
        _meter = meter;
        _slots = [.. Enumerable.Range(0, runner.MaxStepsInFlight).Select(_ => new Slot())];
        _orders = new Order[(2 * _slots.Length) + 1];
        _ordered = new Semaphore(0, _orders.Length);
        _thread = new Thread(Work) { IsBackground = true, Name = "vllm-native device" };
        _thread.Start();
    }

    public int MaxStepsInFlight => _slots.Length;

    public void Submit(StepPlan plan, StepResult result)
    {
        Slot slot = _slots[_nextSlot];
        (slot.Plan, slot.Result, slot.Failure) = (plan, result, null);
        _nextSlot = (_nextSlot + 1) % _slots.Length;
        Give(Order.Launch);
    }

    public bool Collect(TimeSpan timeout)
    {
        Give(Order.Complete);
        if (_completed.WaitOne(timeout))
        {
            return true;
        }

        // The thread is stuck inside the driver: it and what the device may still write to stay as they are.
        _abandoned = true;
        _runner.Device.DeclareLost($"a step took longer than {timeout.TotalSeconds:0.###} s");
        return false;
    }

    public void Dispose()
    {
        if (_abandoned)
        {
            return;
        }

        Give(Order.Stop);
        _thread.Join();
        _runner.Dispose();
        _ordered.Dispose();
        _completed.Dispose();
    }

    private void Give(Order order)
    {
        _orders[_nextOrder] = order;
        _nextOrder = (_nextOrder + 1) % _orders.Length;
        _ordered.Release();
    }

    private void Work()
    {
        int launched = 0;
        int completed = 0;
        for (int next = 0; ; next = (next + 1) % _orders.Length)
        {
            _ordered.WaitOne();
            switch (_orders[next])
            {
                case Order.Launch:
                    Launch(launched);
                    launched = (launched + 1) % _slots.Length;
                    break;
                case Order.Complete:
                    Complete(completed);
                    completed = (completed + 1) % _slots.Length;
                    break;
                default:
                    return;
            }
        }
    }

    // Whatever fails, the engine decides what becomes of the step's requests.
    private void Launch(int index)
    {
        Slot slot = _slots[index];
        try
        {
            _runner.Launch(slot.Plan!, index);
        }
        catch (Exception error)
        {
            slot.Failure = error;
        }
    }

    private void Complete(int index)
    {
        Slot slot = _slots[index];
        StepResult result = slot.Result!;
        if (slot.Failure is null)
        {
            try
            {
                _runner.Complete(slot.Plan!, result, index);
            }
            catch (Exception error)
            {
                slot.Failure = error;
            }
        }

        if (slot.Failure is not null)
        {
            _runner.Fail(slot.Plan!, result, slot.Failure);
        }

        // Before the engine hears of the step, so that whoever waits for its results finds it counted.
        _meter?.EndIteration(slot.Plan!.SamplingUpdates.Count > 0);
        _completed.Set();
    }
}
