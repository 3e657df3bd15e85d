using VllmNative.Requests;

namespace VllmNative.Outputs;

/// <summary>
/// Wakes readers from a thread of its own: completing a waiting task queues work and may allocate, which the engine thread
/// must not do. Mailboxes with news form a linked list without locks.
/// </summary>
internal sealed class OutputPump : IDisposable
{
    private readonly SemaphoreSlim _signal = new(0);
    private readonly Thread _thread;
    private Mailbox? _dirty;
    private bool _news;
    private volatile bool _stop;

    internal OutputPump()
    {
        _thread = new Thread(Run) { IsBackground = true, Name = "vllm-native outputs" };
        _thread.Start();
    }

    /// <summary>Notes that a mailbox has news; engine thread.</summary>
    internal void Note(Mailbox mailbox)
    {
        if (Interlocked.Exchange(ref mailbox.Dirty, 1) != 0)
        {
            return;
        }

        Mailbox? head;
        do
        {
            head = Volatile.Read(ref _dirty);
            mailbox.NextDirty = head;
        }
        while (Interlocked.CompareExchange(ref _dirty, mailbox, head) != head);
        _news = true;
    }

    /// <summary>Has the noted mailboxes' readers woken; engine thread, once a step.</summary>
    internal void Flush()
    {
        if (_news)
        {
            _news = false;
            _signal.Release();
        }
    }

    public void Dispose()
    {
        _stop = true;
        _signal.Release();
        _thread.Join();
        _signal.Dispose();
    }

    private void Run()
    {
        while (!_stop)
        {
            _signal.Wait();
            WakeReaders();
        }

        // What was noted last, while this thread was still busy with earlier news.
        WakeReaders();
    }

    private void WakeReaders()
    {
        for (Mailbox? mailbox = Interlocked.Exchange(ref _dirty, null); mailbox is not null;)
        {
            Mailbox current = mailbox;
            mailbox = current.NextDirty;
            current.NextDirty = null;
            // From here on the engine may note it again, so the wake comes after.
            Volatile.Write(ref current.Dirty, 0);
            current.Wake();
        }
    }
}
