namespace VllmNative.Requests;

/// <summary>Where a request stands in the scheduler.</summary>
internal enum RequestStatus
{
    Waiting,
    Running,

    /// <summary>It ran, lost its blocks, and waits in front to be computed again.</summary>
    Preempted,
    Finished,
}
