using System.Runtime.CompilerServices;
using System.Text.Json;
using VllmNative.Cache;
using VllmNative.Diagnostics;
using VllmNative.Outputs;
using VllmNative.Requests;
using VllmNative.Scheduling;
using VllmNative.Steps;
using VllmNative.Tensors;
using VllmNative.Tokenization;

namespace VllmNative.Engine;

/// <summary>
/// A serving engine inside this process: requests of any number of callers are batched together, step by step. Thread-safe.
/// </summary>
public sealed class AsyncLlmEngine : IDisposable
{
    /// <summary>Name of the <see cref="System.Diagnostics.Metrics.Meter"/> that shows <see cref="Stats"/> and <see cref="Memory"/>, with the tags "model" and "engine" (0, 1, ...).</summary>
    public const string MeterName = "VllmNative";

    private readonly EngineParts _parts;
    private readonly RequestFactory _requests;
    private readonly EngineMeter _meter;

    private AsyncLlmEngine(EngineOptions options, EngineParts parts)
    {
        Options = options;
        _parts = parts;
        _requests = new RequestFactory(parts, options);
        _meter = new EngineMeter(Path.GetFileName(Path.TrimEndingDirectorySeparator(options.Model)), () => Stats, () => Memory);
    }

    /// <summary>The options it was made with.</summary>
    public EngineOptions Options { get; }

    /// <summary>What it can do, now that options, model and device are known.</summary>
    public EngineCapabilities Capabilities => _parts.Capabilities;

    /// <summary>The model's tokenizer; null when the model directory has none.</summary>
    public Tokenizer? Tokenizer => _parts.Tokenizer;

    /// <summary>How full the KV cache is.</summary>
    public MemoryStats Memory
    {
        get
        {
            Scheduler scheduler = _parts.Core.Scheduler;
            BlockPool pool = scheduler.Cache.Pool;
            PrefixCacheStats prefixes = scheduler.Cache.Prefixes?.Stats ?? default;
            return new MemoryStats(pool.Total - 1, pool.Used, _parts.Core.PeakBlocks, _parts.KvGroup.BlockSize, _parts.KvGroup.BlockBytes)
            {
                CachedBlocks = pool.Cached,
                EvictedBlocks = pool.Evictions,
                PrefixCacheQueries = prefixes.Queries,
                PrefixCacheHits = prefixes.Hits,
                Preemptions = scheduler.Preemptions,
                SwapBlocks = scheduler.Swap?.Host.Total ?? 0,
                UsedSwapBlocks = scheduler.Swap?.Host.Used ?? 0,
            };
        }
    }

    /// <summary>Who is in the engine, and what its steps have done so far.</summary>
    public EngineStats Stats
    {
        get
        {
            Scheduler scheduler = _parts.Core.Scheduler;
            StepEventLog events = scheduler.Events;
            return new EngineStats
            {
                RunningRequests = scheduler.RunningCount,
                WaitingRequests = _parts.Core.Waiting,
                Steps = _parts.Core.Steps,
                ScheduledRows = events.ScheduledRows,
                ScheduledTokens = events.ScheduledTokens,
                Admissions = events.CountOf(StepEventKind.Admitted),
                FinishedRequests = events.CountOf(StepEventKind.Finished),
                GeneratedTokens = events.SumOf(StepEventKind.Finished),
                Preemptions = events.CountOf(StepEventKind.Preempted),
                SwappedOutBlocks = events.SumOf(StepEventKind.SwappedOut),
                SwappedInBlocks = events.SumOf(StepEventKind.SwappedIn),
                OffloadedBlocks = scheduler.Tier?.Offloaded ?? 0,
                OnloadedBlocks = scheduler.Tier?.Onloaded ?? 0,
                DiskLoadedBlocks = scheduler.Disk?.Loaded ?? 0,
            };
        }
    }

    /// <summary>Why recording has ended early, as <see cref="EngineOptions.Log"/> was told; null while it goes on, and when nothing is recorded.</summary>
    internal string? RecordingError => _parts.Core.Recorder?.Error;

    /// <summary>Sampling parameters of completions that bring none: those of generation_config.json, then the defaults.</summary>
    public SamplingParams DefaultSamplingParams => _requests.Defaults(chat: false);

    /// <summary>Sampling parameters of chats that bring none: as <see cref="DefaultSamplingParams"/>, but up to the end of the context.</summary>
    public SamplingParams ChatDefaults => _requests.Defaults(chat: true);

    /// <summary>Loads a model and starts the engine.</summary>
    /// <param name="options">What to load and how.</param>
    /// <param name="progress">Told how far the weights are; called on this thread.</param>
    /// <exception cref="VllmException">Options, files or device are not usable; the message names the value.</exception>
    /// <exception cref="Bindings.NativeException">The device cannot be used, or has too little memory.</exception>
    public static AsyncLlmEngine Create(EngineOptions options, IProgress<LoadProgress>? progress = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new AsyncLlmEngine(options, EngineFactory.Create(options, progress));
    }

    /// <summary>Generates from a prompt; each output holds everything so far, unless the parameters' output kind says otherwise; the last one is finished.</summary>
    /// <param name="prompt">Text or token ids.</param>
    /// <param name="parameters">Null = <see cref="DefaultSamplingParams"/>.</param>
    /// <param name="requestId">The caller's name for the request; only echoed.</param>
    /// <param name="scheduling">Priority, user, cache salt; null = the defaults.</param>
    /// <param name="cancellationToken">Ends the request at the next step.</param>
    /// <exception cref="InvalidRequestException">Prompt or parameters break a rule.</exception>
    /// <exception cref="EngineDeadException">The engine has stopped.</exception>
    public IAsyncEnumerable<RequestOutput> GenerateAsync(
        Prompt prompt, SamplingParams? parameters = null, string? requestId = null, RequestScheduling? scheduling = null, CancellationToken cancellationToken = default)
    {
        // Checked here, not when the caller first asks for an output.
        _parts.Core.ThrowIfDead();
        OutputProcessor processor = _requests.Create(prompt, parameters ?? DefaultSamplingParams, requestId, scheduling);
        return StreamAsync(processor, cancellationToken);
    }

    /// <summary>Continues a conversation through the model's chat template.</summary>
    /// <param name="messages">The conversation.</param>
    /// <param name="parameters">Null = those of generation_config.json, up to the end of the context.</param>
    /// <param name="tools">Functions that the model may call, as JSON.</param>
    /// <param name="requestId">The caller's name for the request; only echoed.</param>
    /// <param name="scheduling">Priority, user, cache salt; null = the defaults.</param>
    /// <param name="cancellationToken">Ends the request at the next step.</param>
    public IAsyncEnumerable<RequestOutput> ChatAsync(
        IReadOnlyList<ChatMessage> messages,
        SamplingParams? parameters = null,
        JsonElement? tools = null,
        string? requestId = null,
        RequestScheduling? scheduling = null,
        CancellationToken cancellationToken = default) =>
        GenerateAsync(EncodeChat(messages, tools), parameters ?? _requests.Defaults(chat: true), requestId, scheduling, cancellationToken);

    /// <summary>A prompt's vector: the hidden states behind the model's last norm, pooled. Nothing is generated.</summary>
    /// <param name="prompt">Text or token ids.</param>
    /// <param name="parameters">Null = the last token's, normalized.</param>
    /// <param name="requestId">The caller's name for the request; only echoed.</param>
    /// <param name="scheduling">Priority, user, cache salt; null = the defaults.</param>
    /// <param name="cancellationToken">Ends the request at the next step.</param>
    /// <exception cref="InvalidRequestException">Prompt or parameters break a rule.</exception>
    /// <exception cref="EngineDeadException">The engine has stopped.</exception>
    /// <exception cref="VllmException">Computing it failed; the message says how.</exception>
    public Task<EmbeddingOutput> EmbedAsync(
        Prompt prompt, PoolingParams? parameters = null, string? requestId = null, RequestScheduling? scheduling = null, CancellationToken cancellationToken = default)
    {
        _parts.Core.ThrowIfDead();
        parameters ??= new PoolingParams();
        OutputProcessor processor = _requests.CreatePooling(prompt, parameters, requestId, scheduling);
        Submit(processor);
        return FinishPoolingAsync(processor, parameters.Normalize, cancellationToken);
    }

    /// <summary>The token ids of a conversation, special tokens of the template only.</summary>
    public int[] EncodeChat(IReadOnlyList<ChatMessage> messages, JsonElement? tools = null)
    {
        ArgumentNullException.ThrowIfNull(messages);
        Tokenizer tokenizer = Tokenizer ?? throw new InvalidRequestException("messages", "the model has no tokenizer, so it cannot chat");
        return tokenizer.EncodeChat(messages, tools);
    }

    /// <summary>Forgets all cached prefixes in memory, for instance to measure without them. Requests in flight go on; block files of the disk tier stay, and may be read again.</summary>
    /// <exception cref="EngineDeadException">The engine has stopped.</exception>
    public void ResetPrefixCache() => _parts.Core.ResetPrefixCache();

    /// <summary>Computes a prefix and keeps its full blocks for a while, whoever asks for room; pins never hold more than half of the KV cache.</summary>
    /// <param name="prefix">Text or token ids.</param>
    /// <param name="timeToLive">Above zero.</param>
    /// <param name="scheduling">Whose salt it is for; null = none.</param>
    /// <param name="cancellationToken">Ends the computation.</param>
    /// <returns>Tokens that are kept; 0 when nothing is cached.</returns>
    /// <exception cref="InvalidRequestException">The prefix or the time breaks a rule.</exception>
    public async Task<int> PinPrefixAsync(Prompt prefix, TimeSpan timeToLive, RequestScheduling? scheduling = null, CancellationToken cancellationToken = default)
    {
        if (timeToLive <= TimeSpan.Zero)
        {
            throw new InvalidRequestException("time_to_live", $"time_to_live is {timeToLive}, expected above zero");
        }

        SamplingParams one = SamplingParams.Greedy with { MaxTokens = 1, Detokenize = false };
        OutputProcessor processor = _requests.Create(prefix, one, null, scheduling);
        Submit(processor);
        await FinishAsync(processor, cancellationToken).ConfigureAwait(false);
        return await _parts.Core.PinPrefixAsync(processor.Requests.First(), timeToLive).ConfigureAwait(false);
    }

    /// <summary>
    /// Moves KV blocks so that each request's lie one behind the other, as soon as no step is in flight: what is swapped out
    /// later goes in fewer, longer copies. Results do not depend on it.
    /// </summary>
    /// <returns>Blocks moved.</returns>
    /// <exception cref="EngineDeadException">The engine has stopped.</exception>
    public Task<int> DefragmentAsync() => _parts.Core.DefragmentAsync();

    /// <summary>Stops the engine; requests in flight end with finish reason Abort.</summary>
    public void Dispose()
    {
        _meter.Dispose();
        _parts.Core.Dispose();
    }

    internal EngineCore Core => _parts.Core;

    /// <summary>For tests that plan faults.</summary>
    internal Device Device => _parts.Device;

    /// <summary>Checks a request without starting it.</summary>
    internal OutputProcessor Prepare(Prompt prompt, SamplingParams? parameters) =>
        _requests.Create(prompt, parameters ?? DefaultSamplingParams, null, null);

    /// <summary>Checks a request for a vector without starting it.</summary>
    internal OutputProcessor PreparePooling(Prompt prompt, PoolingParams parameters) => _requests.CreatePooling(prompt, parameters, null, null);

    /// <summary>Waits for a vector.</summary>
    internal async Task<EmbeddingOutput> FinishPoolingAsync(OutputProcessor processor, bool normalize, CancellationToken cancellationToken)
    {
        RequestOutput output = await FinishAsync(processor, cancellationToken).ConfigureAwait(false);
        if (output.Outputs[0].FinishReason != FinishReason.Stop)
        {
            throw new VllmException("embedding failed: " + (output.Error ?? "the engine was disposed"));
        }

        return new EmbeddingOutput
        {
            RequestId = output.RequestId,
            PromptTokenIds = output.PromptTokenIds,
            CachedTokens = output.CachedTokens,
            Embedding = processor.Requests.First().Pooling!.Result(normalize),
            Timings = output.Timings,
        };
    }

    /// <summary>Waits for the end of a submitted request.</summary>
    internal async Task<RequestOutput> FinishAsync(OutputProcessor processor, CancellationToken cancellationToken)
    {
        try
        {
            while (!processor.Finished)
            {
                await processor.WaitAsync(cancellationToken).ConfigureAwait(false);
                processor.Advance();
                TellEnded(processor, all: false);
            }

            return processor.Build();
        }
        finally
        {
            TellEnded(processor, all: true);
        }
    }

    /// <summary>Starts a request that was checked.</summary>
    internal void Submit(OutputProcessor processor)
    {
        // The first completion first: the others wait for its prompt, or are beams of its search.
        foreach (Request request in processor.Requests.Where(request => request.Beam == 0))
        {
            _parts.Core.Submit(request);
        }
    }

    private async IAsyncEnumerable<RequestOutput> StreamAsync(
        OutputProcessor processor, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        Submit(processor);
        try
        {
            while (!processor.Finished)
            {
                await processor.WaitAsync(cancellationToken).ConfigureAwait(false);
                bool news = processor.Advance();
                TellEnded(processor, all: false);
                if (news)
                {
                    yield return processor.Build();
                }
            }
        }
        finally
        {
            TellEnded(processor, all: true);
        }
    }

    // A stop string, a cancellation or a reader that left: the engine need not go on.
    private void TellEnded(OutputProcessor processor, bool all)
    {
        foreach ((Request request, FinishReason reason) in processor.TakeEnded(all))
        {
            _parts.Core.TryEnd(request, reason);
        }
    }
}
