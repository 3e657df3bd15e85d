namespace VllmNative.Requests;

/// <summary>When a request passed its stations; times are <see cref="TimeProvider.GetTimestamp"/> ticks, 0 = not yet.</summary>
public sealed record RequestTimings
{
    /// <summary>The caller handed it in.</summary>
    public long Arrived { get; internal set; }

    /// <summary>The engine thread took it into the waiting queue.</summary>
    public long Queued { get; internal set; }

    /// <summary>Its first step was scheduled.</summary>
    public long Scheduled { get; internal set; }

    /// <summary>Its first token was sampled.</summary>
    public long FirstToken { get; internal set; }

    /// <summary>Its last token was sampled, or it ended otherwise.</summary>
    public long LastToken { get; internal set; }

    /// <summary>Time to first token.</summary>
    public TimeSpan TimeToFirstToken => FirstToken == 0 ? TimeSpan.Zero : TimeProvider.System.GetElapsedTime(Arrived, FirstToken);

    /// <summary>Arrival to end.</summary>
    public TimeSpan Total => LastToken == 0 ? TimeSpan.Zero : TimeProvider.System.GetElapsedTime(Arrived, LastToken);

    /// <summary>Mean time per output token (TPOT) after the first.</summary>
    /// <param name="tokens">Tokens generated.</param>
    public TimeSpan TimePerOutputToken(int tokens) => tokens < 2 || FirstToken == 0
        ? TimeSpan.Zero
        : TimeProvider.System.GetElapsedTime(FirstToken, LastToken) / (tokens - 1);
}
