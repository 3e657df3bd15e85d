namespace VllmNative.Diagnostics;

/// <summary>
/// Adds up a device's times, step by step: how long it computed, and how long it waited for the next step. The device's thread
/// writes, anybody reads while the loop waits.
/// </summary>
internal sealed class DeviceTimeMeter
{
    private volatile bool _forget;

    internal long Steps { get; private set; }

    internal double BusyMilliseconds { get; private set; }

    /// <summary>From the end of a step to the beginning of the next, waiting for requests included.</summary>
    internal double IdleMilliseconds { get; private set; }

    /// <summary>Share of the time that the device waited, 0..1.</summary>
    internal double IdleShare => Steps == 0 ? 0 : IdleMilliseconds / (BusyMilliseconds + IdleMilliseconds);

    internal void Add(double busy, double idle)
    {
        if (_forget)
        {
            // What was before the first step is nobody's wait.
            _forget = false;
            (Steps, BusyMilliseconds, IdleMilliseconds) = (1, busy, 0);
            return;
        }

        Steps++;
        BusyMilliseconds += busy;
        IdleMilliseconds += idle;
    }

    /// <summary>Has the loop forget its times before it adds the next step.</summary>
    internal void Reset() => _forget = true;
}
