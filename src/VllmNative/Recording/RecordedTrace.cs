namespace VllmNative.Recording;

/// <summary>A trace that was read and checked.</summary>
internal sealed record RecordedTrace
{
    internal required TraceHeader Header { get; init; }

    /// <summary>By arrival.</summary>
    internal required IReadOnlyList<RecordedRequest> Requests { get; init; }

    /// <summary>In the order in which they ran; those that were dropped are missing.</summary>
    internal required IReadOnlyList<RecordedStep> Steps { get; init; }

    /// <summary>Pins and resets of the prefix cache, by time.</summary>
    internal required IReadOnlyList<CacheOrder> Orders { get; init; }

    /// <summary>What the recorder had to leave out; 0 too when the last line is missing.</summary>
    internal long DroppedSteps { get; init; }

    internal long DroppedRequests { get; init; }

    internal long DroppedOrders { get; init; }

    /// <summary>Whether it has every step from the engine's first one on.</summary>
    internal bool HasAllSteps => DroppedSteps == 0 && Steps.Count > 0 && Steps[0].Id == 1 && Steps[^1].Id == Steps.Count;

    /// <summary>Without the first requests, and without the steps before the others came.</summary>
    internal RecordedTrace Skip(int requests)
    {
        RecordedRequest[] rest = [.. Requests.Skip(requests)];
        double from = rest.Length > 0 ? rest[0].Arrived : double.PositiveInfinity;
        return this with { Requests = rest, Steps = [.. Steps.Where(step => step.Submitted >= from)], Orders = [.. Orders.Where(order => order.At >= from)] };
    }
}
