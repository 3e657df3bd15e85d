using VllmNative.Requests;
using VllmNative.Scheduling;

namespace VllmNative.Tests.Scheduling;

/// <summary>Has running requests preempted though memory is not short: who is named, or at random who is chosen by a seed.</summary>
internal sealed class Interruptions
{
    private readonly Scheduler _scheduler;
    private readonly Random? _random;
    private readonly int _oneIn;
    private readonly List<(Request Request, int Preemptions)> _chosen = [];

    /// <param name="scheduler">Whose requests; nothing must be submitted to it yet.</param>
    /// <param name="seed">Of the choices; null = only who is named.</param>
    /// <param name="oneIn">So many steps to a choice, on average.</param>
    internal Interruptions(Scheduler scheduler, int? seed = null, int oneIn = 1)
    {
        (_scheduler, _random, _oneIn) = (scheduler, seed is { } number ? new Random(number) : null, oneIn);
        scheduler.Interrupts = Mark;
    }

    /// <summary>Has a request preempted as soon as its steps in flight have returned, if it runs then.</summary>
    internal void Interrupt(Request request) => _chosen.Add((request, request.Preemptions));

    internal void Stop() => _scheduler.Interrupts = null;

    // Steps in flight may hold it up, and the policy takes marks back: it is marked until it has happened.
    private void Mark(List<Request> running)
    {
        if (_random is not null && running.Count > 0 && _random.Next(_oneIn) == 0)
        {
            Interrupt(running[_random.Next(running.Count)]);
        }

        _chosen.RemoveAll(chosen => chosen.Request.Status != RequestStatus.Running || chosen.Request.Preemptions != chosen.Preemptions);
        _chosen.ForEach(chosen => chosen.Request.Yields = true);
    }
}
