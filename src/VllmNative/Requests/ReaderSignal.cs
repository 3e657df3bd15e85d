using System.Diagnostics.CodeAnalysis;

namespace VllmNative.Requests;

/// <summary>Says that a reader has news; any number of mailboxes set it, one reader waits.</summary>
[SuppressMessage("Reliability", "CA1001", Justification = "The semaphore's wait handle is never asked for, so it owns nothing.")]
internal sealed class ReaderSignal
{
    private readonly SemaphoreSlim _semaphore = new(0, 1);
    private int _set;

    internal void Set()
    {
        if (Interlocked.Exchange(ref _set, 1) == 0)
        {
            _semaphore.Release();
        }
    }

    internal async ValueTask WaitAsync(CancellationToken cancellationToken)
    {
        await _semaphore.WaitAsync(cancellationToken).ConfigureAwait(false);
        // A full fence: whoever found the signal still set had posted before, and what it posted is drained now.
        Interlocked.Exchange(ref _set, 0);
    }
}
