namespace VllmNative.Recording;

/// <summary>A trace that was read and checked.</summary>
internal sealed record RecordedTrace
{
    internal required TraceHeader Header { get; init; }

    /// <summary>By arrival.</summary>
    internal required IReadOnlyList<RecordedRequest> Requests { get; init; }

    /// <summary>In the order in which they ran; those that were dropped are missing.</summary>
    internal required IReadOnlyList<RecordedStep> Steps { get; init; }

    /// <summary>What the recorder had to leave out; 0 too when the last line is missing.</summary>
    internal long DroppedSteps { get; init; }

    internal long DroppedRequests { get; init; }

    /// <summary>Without the first requests, and without the steps before the others came.</summary>
    internal RecordedTrace Skip(int requests)
    {
        RecordedRequest[] rest = [.. Requests.Skip(requests)];
        double from = rest.Length > 0 ? rest[0].Arrived : double.PositiveInfinity;
        return this with { Requests = rest, Steps = [.. Steps.Where(step => step.Submitted >= from)] };
    }
}
