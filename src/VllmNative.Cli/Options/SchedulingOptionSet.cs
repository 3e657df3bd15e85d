using System.CommandLine;
using System.Globalization;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Scheduling;

namespace VllmNative.Cli.Options;

/// <summary>The options that say who is computed when, and what stays in the KV cache; names are vLLM's where vLLM has them.</summary>
internal sealed class SchedulingOptionSet
{
    private const double MostMilliseconds = 1e9;

    private static readonly Dictionary<string, PreemptionMode> PreemptionModes = new()
    {
        ["auto"] = PreemptionMode.Auto,
        ["recompute"] = PreemptionMode.Recompute,
        ["swap"] = PreemptionMode.Swap,
    };

    private readonly Option<bool> _prefixCaching = new("--enable-prefix-caching") { Description = "Requests share the KV blocks of common beginnings. The default." };
    private readonly Option<bool> _noPrefixCaching = new("--no-enable-prefix-caching") { Description = "Every prompt is computed from its first token." };
    private readonly Option<string?> _eviction = Name("--eviction-policy", "Which cached blocks give way first: lru, lfu or length-aware. Default: lru.");
    private readonly Option<string?> _policy = Name("--scheduling-policy", "Who is served first: fcfs, priority, fair or shortest-predicted. Default: fcfs.");
    private readonly Option<string[]> _userWeights = new("--user-weight") { Description = "With the policy fair: a user's share against others, 1 without it; may be repeated.", HelpName = "USER=X" };
    private readonly Option<int?> _maxOvertakes = NumberOption.Integer("--max-overtakes", "How often later requests may be served before one that does not fit. Default: 16.");
    private readonly Option<string?> _scheduler = Name("--scheduler", "continuous, or static: a batch runs until its last request has ended. Default: continuous.");
    private readonly Option<string?> _preemption = Name("--preemption-mode", "What becomes of the KV blocks of a request that makes room. Default: auto, what is cheaper.");
    private readonly Option<double?> _target = NumberOption.Milliseconds(
        "--target-inter-token-latency", "The pause between two tokens, in ms, that long prompts should not stretch. Default: none.");

    private readonly Option<int?> _longPrefill = NumberOption.Integer("--long-prefill-token-threshold", "Most tokens of one request in a step. Default: 0, only the step's own bound.");

    internal SchedulingOptionSet() => _preemption.AcceptOnlyFromAmong([.. PreemptionModes.Keys]);

    internal void AddTo(Command command)
    {
        foreach (Option option in (Option[])[_prefixCaching, _noPrefixCaching, _eviction, _policy, _userWeights, _maxOvertakes, _scheduler, _preemption, _target, _longPrefill])
        {
            command.Options.Add(option);
        }
    }

    internal EngineOptions Apply(ParseResult parsed, EngineOptions defaults) => defaults with
    {
        EnablePrefixCaching = PrefixCaching(parsed) ?? defaults.EnablePrefixCaching,
        EvictionPolicy = parsed.GetValue(_eviction) ?? defaults.EvictionPolicy,
        SchedulingPolicy = parsed.GetValue(_policy) ?? defaults.SchedulingPolicy,
        UserWeights = parsed.GetResult(_userWeights) is null ? defaults.UserWeights : Weights(parsed.GetValue(_userWeights) ?? []),
        MaxOvertakes = parsed.GetValue(_maxOvertakes) ?? defaults.MaxOvertakes,
        Scheduler = parsed.GetValue(_scheduler) ?? defaults.Scheduler,
        PreemptionMode = parsed.GetValue(_preemption) is { } mode ? PreemptionModes[mode] : defaults.PreemptionMode,
        TargetInterTokenLatency = parsed.GetValue(_target) is { } target ? ToTime(target) : defaults.TargetInterTokenLatency,
        LongPrefillTokenThreshold = parsed.GetValue(_longPrefill) ?? defaults.LongPrefillTokenThreshold,
    };

    // Which names there are is the engine's to say: it refuses others by name and list.
    private static Option<string?> Name(string name, string description) => new(name) { Description = description, HelpName = "NAME" };

    private bool? PrefixCaching(ParseResult parsed)
    {
        bool on = parsed.GetValue(_prefixCaching);
        bool off = parsed.GetValue(_noPrefixCaching);
        return on && off
            ? throw new VllmException($"{_prefixCaching.Name} and {_noPrefixCaching.Name} are both given, expected one of them")
            : on ? true : off ? false : null;
    }

    private Dictionary<string, double> Weights(IEnumerable<string> texts)
    {
        Dictionary<string, double> weights = [];
        foreach (string text in texts)
        {
            int equals = text.LastIndexOf('=');
            if (equals < 1 || !double.TryParse(text[(equals + 1)..], NumberStyles.Float, CultureInfo.InvariantCulture, out double weight))
            {
                throw new VllmException($"{_userWeights.Name} is \"{text}\", expected USER=X with a number X");
            }

            weights[text[..equals]] = weight;
        }

        return weights;
    }

    // Anything too large, or no number, is refused by the options' own check, by name and range.
    private static TimeSpan ToTime(double milliseconds) =>
        TimeSpan.FromMilliseconds(double.IsNaN(milliseconds) ? 0 : Math.Clamp(milliseconds, -MostMilliseconds, MostMilliseconds));
}
