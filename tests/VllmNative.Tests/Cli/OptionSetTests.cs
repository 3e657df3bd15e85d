using System.CommandLine;
using VllmNative.Cli.Options;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Tensors;
using Xunit;

namespace VllmNative.Tests.Cli;

/// <summary>Which option becomes which setting.</summary>
public sealed class OptionSetTests
{
    [Fact]
    public void EngineOptions_WithoutOptions_AreTheDefaults()
    {
        Assert.Equal(new EngineOptions { Model = "m" }, Engine("--model", "m"));
    }

    [Fact]
    public void EngineOptions_EachOption_HasItsSetting()
    {
        EngineOptions expected = new()
        {
            Model = "m",
            Device = DeviceKind.Cuda,
            Dtype = ModelDtype.Float16,
            ResidualDtype = ResidualDtype.Model,
            KvCacheDtype = KvCacheDtype.Fp8,
            MaxModelLen = 2000,
            BlockSize = 32,
            MaxNumSeqs = 5,
            MaxNumBatchedTokens = 1024,
            KvCacheMemoryBytes = 512 << 20,
            GpuMemoryUtilization = 0.8,
            SwapSpace = 1.5,
            KvOffloadSpace = 3,
            EnforceEager = true,
            Deterministic = true,
            Threads = 3,
            Seed = 7,
            RecordTo = "trace.jsonl",
        };
        Assert.Equal(expected, Engine(
            "--model", "m", "--device", "cuda", "--dtype", "half", "--residual-dtype", "model", "--kv-cache-dtype", "fp8", "--max-model-len", "2k", "--block-size", "32", "--max-num-seqs", "5",
            "--max-num-batched-tokens", "1K", "--kv-cache-memory-bytes", "512M", "--gpu-memory-utilization", "0.8", "--swap-space", "1.5", "--kv-offloading-size", "3", "--enforce-eager", "--deterministic", "--threads", "3", "--seed", "7", "--record-to", "trace.jsonl"));
    }

    [Fact]
    public void SchedulingOptions_EachOption_HasItsSetting()
    {
        EngineOptions found = Engine(
            "--model", "m", "--no-enable-prefix-caching", "--eviction-policy", "lfu", "--scheduling-policy", "fair", "--user-weight", "a=2.5", "--user-weight", "b=c=3",
            "--max-overtakes", "4", "--scheduler", "static", "--preemption-mode", "swap", "--target-inter-token-latency", "12.5", "--long-prefill-token-threshold", "512");
        Assert.Equal([("a", 2.5), ("b=c", 3.0)], found.UserWeights.Select(user => (user.Key, user.Value)));
        EngineOptions expected = new()
        {
            Model = "m",
            EnablePrefixCaching = false,
            EvictionPolicy = "lfu",
            SchedulingPolicy = "fair",
            UserWeights = found.UserWeights,
            MaxOvertakes = 4,
            Scheduler = "static",
            PreemptionMode = PreemptionMode.Swap,
            TargetInterTokenLatency = TimeSpan.FromMilliseconds(12.5),
            LongPrefillTokenThreshold = 512,
        };
        Assert.Equal(expected, found);
        Assert.True(Engine("--model", "m", "--enable-prefix-caching").EnablePrefixCaching);
    }

    [Theory]
    [InlineData("--enable-prefix-caching and --no-enable-prefix-caching are both given, expected one of them", "--enable-prefix-caching", "--no-enable-prefix-caching")]
    [InlineData("--user-weight is \"a\", expected USER=X with a number X", "--user-weight", "a")]
    [InlineData("--user-weight is \"=2\", expected USER=X with a number X", "--user-weight", "=2")]
    public void SchedulingOptionsThatMakeNoSense_AreNamed(string message, params string[] arguments) =>
        Assert.Equal(message, Assert.Throws<VllmException>(() => Engine(["--model", "m", .. arguments])).Message);

    [Theory]
    [InlineData("engine options: SchedulingPolicy is \"lottery\"", "--scheduling-policy", "lottery")]
    [InlineData("engine options: EvictionPolicy is \"fifo\"", "--eviction-policy", "fifo")]
    [InlineData("engine options: Scheduler is \"dynamic\"", "--scheduler", "dynamic")]
    [InlineData("engine options: TargetInterTokenLatency is 00:00:00", "--target-inter-token-latency", "NaN")]
    [InlineData("engine options: TargetInterTokenLatency is 11.13:46:40", "--target-inter-token-latency", "1e300")]
    public void NamesAndTimesThatDoNotExist_AreRefusedByTheEngine(string message, string option, string value) =>
        Assert.StartsWith(message, Assert.Throws<VllmException>(Engine("--model", "m", option, value).Validate).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("auto", ModelDtype.Auto)]
    [InlineData("float", ModelDtype.Float32)]
    [InlineData("float32", ModelDtype.Float32)]
    [InlineData("float16", ModelDtype.Float16)]
    [InlineData("bfloat16", ModelDtype.BFloat16)]
    public void Dtype_HasVllmsNames(string name, ModelDtype expected) => Assert.Equal(expected, Engine("--model", "m", "--dtype", name).Dtype);

    [Fact]
    public void SizeBeyondAnInt_StaysTooLargeForTheOptionsCheck() => Assert.Equal(int.MaxValue, Engine("--model", "m", "--max-num-batched-tokens", "1t").MaxNumBatchedTokens);

    [Fact]
    public void SamplingParams_WithoutOptions_AreTheModels()
    {
        var model = new SamplingParams
        {
            MaxTokens = 9, Temperature = 0.7f, TopP = 0.95f, TopK = 4, MinP = 0.1f, RepetitionPenalty = 1.1f, PresencePenalty = 1,
            FrequencyPenalty = -1, MinTokens = 2, Logprobs = 1, IgnoreEos = true, Seed = 3, Stop = ["end"],
        };
        Assert.Equal(model, Sampling(model));
    }

    [Fact]
    public void SamplingParams_EachOption_HasItsSetting()
    {
        SamplingParams found = Sampling(
            new SamplingParams(), "--max-tokens", "50", "--temperature", "0", "--top-p", "0.5", "--top-k", "-1", "--min-p", "0.25", "--seed", "11", "--stop", "\n",
            "--stop", "END", "--logprobs", "0", "--repetition-penalty", "1.5", "--presence-penalty", "-0.5", "--frequency-penalty", "2",
            "--min-tokens", "4", "--ignore-eos");
        Assert.Equal(["\n", "END"], found.Stop);
        var expected = new SamplingParams
        {
            MaxTokens = 50, Temperature = 0, TopP = 0.5f, TopK = -1, MinP = 0.25f, Seed = 11, Logprobs = 0, RepetitionPenalty = 1.5f,
            PresencePenalty = -0.5f, FrequencyPenalty = 2, MinTokens = 4, IgnoreEos = true, Stop = found.Stop,
        };
        Assert.Equal(expected, found);
    }

    [Theory]
    [InlineData("--device", "tpu", "tpu")]
    [InlineData("--dtype", "int4", "int4")]
    [InlineData("--block-size", "1.5", "--block-size is \"1.5\", expected a whole number.")]
    [InlineData("--kv-cache-memory-bytes", "1X", "--kv-cache-memory-bytes is \"1X\"")]
    [InlineData("--swap-space", "4G", "--swap-space is \"4G\", expected a number of GiB")]
    [InlineData("--preemption-mode", "drop", "drop")]
    [InlineData("--target-inter-token-latency", "soon", "--target-inter-token-latency is \"soon\", expected a number of milliseconds.")]
    [InlineData("--seed", "9999999999999999999999", "--seed is \"9999999999999999999999\"")]
    public void BadValue_IsAnErrorThatNamesIt(string option, string value, string expected)
    {
        ParseResult parsed = EngineCommand(out _).Parse(["--model", "m", option, value]);
        Assert.Contains(expected, string.Join(' ', parsed.Errors.Select(error => error.Message)), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--temperature", "0,7")]
    [InlineData("--top-k", "many")]
    public void BadSamplingValue_IsAnErrorThatNamesIt(string option, string value)
    {
        ParseResult parsed = SamplingCommand(out _).Parse([option, value]);
        Assert.StartsWith($"{option} is \"{value}\"", Assert.Single(parsed.Errors).Message, StringComparison.Ordinal);
    }

    private static EngineOptions Engine(params string[] arguments)
    {
        ParseResult parsed = EngineCommand(out EngineOptionSet set).Parse(arguments);
        Assert.Empty(parsed.Errors);
        return set.Build(parsed);
    }

    private static SamplingParams Sampling(SamplingParams defaults, params string[] arguments)
    {
        ParseResult parsed = SamplingCommand(out SamplingOptionSet set).Parse(arguments);
        Assert.Empty(parsed.Errors);
        return set.Apply(parsed, defaults);
    }

    private static Command EngineCommand(out EngineOptionSet set)
    {
        Option<long?> seed = SharedOptions.Seed();
        var command = new Command("test") { seed };
        set = new EngineOptionSet(SharedOptions.RequiredModel(), seed);
        set.AddTo(command);
        return command;
    }

    private static Command SamplingCommand(out SamplingOptionSet set)
    {
        var command = new Command("test");
        set = new SamplingOptionSet(SharedOptions.Seed(), "16");
        set.AddTo(command);
        return command;
    }
}
