namespace VllmNative.Tests.Performance;

/// <summary>Watches the process on a thread of its own and keeps the largest growth since it started.</summary>
internal sealed class ResidentMemorySampler : IDisposable
{
    private readonly ResidentMemory _start = ResidentMemory.Now();
    private readonly Thread _thread;
    private ResidentMemory _peak;
    private long _peakTotal;
    private volatile bool _stop;

    internal ResidentMemorySampler()
    {
        _thread = new Thread(Watch) { IsBackground = true };
        _thread.Start();
    }

    internal int Samples { get; private set; }

    /// <summary>The largest growth: of anonymous memory, and of both kinds together.</summary>
    internal ResidentMemory Stop()
    {
        _stop = true;
        _thread.Join();
        return new ResidentMemory(_peak.Anonymous, _peakTotal - _peak.Anonymous);
    }

    public void Dispose() => Stop();

    private void Watch()
    {
        do
        {
            ResidentMemory now = ResidentMemory.Now();
            _peak = new ResidentMemory(Math.Max(_peak.Anonymous, now.Anonymous - _start.Anonymous), 0);
            _peakTotal = Math.Max(_peakTotal, now.Total - _start.Total);
            Samples++;
            Thread.Sleep(1);
        }
        while (!_stop);
    }
}
