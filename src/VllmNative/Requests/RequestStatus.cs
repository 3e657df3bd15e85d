namespace VllmNative.Requests;

/// <summary>Where a request stands in the scheduler.</summary>
internal enum RequestStatus
{
    Waiting,
    Running,

    /// <summary>It ran, lost its blocks on the device, and waits to go on.</summary>
    Preempted,
    Finished,
}
