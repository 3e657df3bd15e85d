using VllmNative.Requests;

namespace VllmNative.Scheduling;

/// <summary>
/// Further completions of a prompt, which wait until the first one's prompt is scheduled: then they share its blocks, so that
/// the prompt is computed once. When the first one has ended before, they are requests like any other.
/// </summary>
internal sealed class HeldRequests(Scheduler scheduler)
{
    private readonly List<Request> _held = [];

    internal IReadOnlyList<Request> All => _held;

    internal void Add(Request request) => _held.Add(request);

    internal bool Remove(Request request) => _held.Remove(request);

    /// <summary>Hands those to the scheduler whose time has come.</summary>
    internal void Release()
    {
        for (int i = 0; i < _held.Count; i++)
        {
            Request request = _held[i];
            Request parent = request.Parent!;
            if (parent.Status == RequestStatus.Running && !parent.Retracted && parent.Scheduled >= parent.PromptLength)
            {
                scheduler.Fork(parent, request);
            }
            else if (parent.Status == RequestStatus.Finished)
            {
                scheduler.Add(request);
            }
            else
            {
                continue;
            }

            _held.RemoveAt(i--);
        }
    }
}
