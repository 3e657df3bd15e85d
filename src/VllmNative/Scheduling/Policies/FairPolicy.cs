using VllmNative.Requests;

namespace VllmNative.Scheduling.Policies;

/// <summary>
/// Users share the engine by weight, whatever they send: start-time fair queueing. Each user has a clock that advances by the
/// tokens asked for, divided by the user's weight; a request's rank is its user's clock at arrival, but at least the rank
/// that was served last, so that nobody saves up for later. Waiting counts too, as tokens by the second.
/// </summary>
/// <param name="weights">By user; who is not named has weight 1.</param>
/// <param name="agingTokensPerSecond">What a second of waiting is worth.</param>
internal sealed class FairPolicy(IReadOnlyDictionary<string, double>? weights = null, double agingTokensPerSecond = 100) : SchedulingPolicy
{
    private const string Nobody = "";
    private const int MostUsers = 4096;

    private readonly Dictionary<string, double> _clocks = [];
    private double _virtualTime;

    /// <summary>Users whose clock is ahead of the rest; for tests.</summary>
    internal int UsersAhead => _clocks.Count;

    internal override double RankOf(Request request)
    {
        string user = request.Scheduling.User ?? Nobody;
        double start = Math.Max(_virtualTime, _clocks.GetValueOrDefault(user));
        double weight = weights is not null && weights.TryGetValue(user, out double given) ? given : 1;
        _clocks[user] = start + ((request.PromptLength + request.MaxTokens) / weight);
        return start + (request.QueuedAt * agingTokensPerSecond);
    }

    internal override void NoteAdmitted(Request request)
    {
        _virtualTime = Math.Max(_virtualTime, request.Rank - (request.QueuedAt * agingTokensPerSecond));
        if (_clocks.Count > MostUsers)
        {
            Forget();
        }
    }

    // A clock that time has passed says nothing any more. With too many ahead of it, time catches up with half of them.
    private void Forget()
    {
        double[] clocks = [.. _clocks.Values.Order()];
        double median = clocks[clocks.Length / 2];
        _virtualTime = Math.Max(_virtualTime, median);
        foreach (string user in _clocks.Where(entry => entry.Value <= _virtualTime).Select(entry => entry.Key).ToArray())
        {
            _clocks.Remove(user);
        }
    }
}
