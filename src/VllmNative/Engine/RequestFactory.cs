using VllmNative.Cache;
using VllmNative.Diagnostics;
using VllmNative.Loading;
using VllmNative.Outputs;
using VllmNative.Requests;
using VllmNative.Tensors;
using VllmNative.Tokenization;

namespace VllmNative.Engine;

/// <summary>The edge at which requests are checked, once, for every API: what passes here can be computed.</summary>
internal sealed class RequestFactory
{
    private readonly EngineParts _parts;
    private readonly EngineOptions _options;
    private readonly int[] _eosIds;
    private readonly int? _primaryEos;
    private long _nextId;

    internal RequestFactory(EngineParts parts, EngineOptions options)
    {
        _parts = parts;
        _options = options;
        _primaryEos = parts.Config.EosTokenIds.Length > 0 ? parts.Config.EosTokenIds[0] : parts.Tokenizer?.EosTokenId;
        IEnumerable<int> eos = [.. parts.Config.EosTokenIds, .. parts.Generation.EosTokenIds];
        if (_primaryEos is { } primary)
        {
            eos = eos.Append(primary);
        }

        // Some configs name an end that the embedding does not have; it can never be sampled.
        _eosIds = [.. eos.Where(id => id >= 0 && id < parts.Config.VocabSize).Distinct().Order()];
    }

    /// <summary>Parameters of requests that bring none: generation_config.json's, then the defaults.</summary>
    internal SamplingParams Defaults(bool chat)
    {
        GenerationConfig g = _parts.Generation;
        var defaults = new SamplingParams();
        return defaults with
        {
            Temperature = (float)(g.Temperature ?? defaults.Temperature),
            TopP = (float)(g.TopP ?? defaults.TopP),
            TopK = g.TopK ?? defaults.TopK,
            MinP = (float)(g.MinP ?? defaults.MinP),
            RepetitionPenalty = (float)(g.RepetitionPenalty ?? defaults.RepetitionPenalty),
            MaxTokens = g.MaxNewTokens ?? (chat ? null : defaults.MaxTokens),
        };
    }

    /// <summary>Checks a prompt and its parameters and makes the request.</summary>
    /// <exception cref="InvalidRequestException">Names the value and the limit.</exception>
    internal OutputProcessor Create(Prompt prompt, SamplingParams parameters, string? requestId, RequestScheduling? scheduling)
    {
        parameters.Validate();
        scheduling ??= RequestScheduling.Default;
        scheduling.Validate();
        int vocabulary = _parts.Config.VocabSize;
        int[] ids = TokensOf(prompt, KeptTokens(parameters.TruncatePromptTokens));
        CheckPrompt(ids, vocabulary);
        CheckParameters(prompt, parameters, vocabulary);
        Request[] requests = RequestsOf(ids, parameters, scheduling, LogitRulesFactory.Create(parameters, vocabulary, _parts.Tokenizer));
        // Of beams those are read that are returned.
        return new OutputProcessor(parameters.UseBeamSearch ? requests[..parameters.N] : requests, requestId ?? $"req-{requests[0].Id}", prompt.Text, ids, _parts.Tokenizer, parameters.IgnoreEos ? null : _primaryEos);
    }

    /// <summary>Checks a prompt and makes the request whose result is a vector.</summary>
    /// <exception cref="InvalidRequestException">Names the value and the limit.</exception>
    internal OutputProcessor CreatePooling(Prompt prompt, PoolingParams parameters, string? requestId, RequestScheduling? scheduling)
    {
        parameters.Validate();
        scheduling ??= RequestScheduling.Default;
        scheduling.Validate();
        int[] ids = TokensOf(prompt, KeptTokens(parameters.TruncatePromptTokens));
        CheckPrompt(ids, _parts.Config.VocabSize);
        bool all = parameters.Pooling == PoolingType.Mean;
        SamplingParams none = SamplingParams.Greedy with { MaxTokens = 1, Detokenize = false };
        Request[] requests = RequestsOf(
            ids, none, all ? scheduling with { SkipReadingPrefixCache = true } : scheduling, rules: null, new HiddenPooling(parameters.Pooling, ids.Length));
        return new OutputProcessor(requests, requestId ?? $"req-{requests[0].Id}", prompt.Text, ids, tokenizer: null, primaryEos: null);
    }

    private void CheckParameters(Prompt prompt, SamplingParams parameters, int vocabulary)
    {
        LogitRulesFactory.Check("stop_token_ids", parameters.StopTokenIds, vocabulary);
        LogitRulesFactory.Check("logprob_token_ids", parameters.LogprobTokenIds ?? [], vocabulary);
        LogitRulesFactory.Check("prompt_logprob_token_ids", parameters.PromptLogprobTokenIds ?? [], vocabulary);
        if (parameters.Logprobs > vocabulary)
        {
            throw new InvalidRequestException("logprobs", $"logprobs is {parameters.Logprobs}, expected 0..{vocabulary} (the vocabulary)");
        }

        if (parameters.PromptLogprobs > vocabulary)
        {
            throw new InvalidRequestException("prompt_logprobs", $"prompt_logprobs is {parameters.PromptLogprobs}, expected 0..{vocabulary} (the vocabulary)");
        }

        if ((parameters.Stop.Count > 0 || parameters.Detokenize) && _parts.Tokenizer is null && prompt.TokenIds is null)
        {
            throw new InvalidRequestException("prompt", "the model has no tokenizer, expected a prompt of token ids");
        }

        if (parameters.Stop.Count > 0 && _parts.Tokenizer is null)
        {
            throw new InvalidRequestException("stop", "the model has no tokenizer, so stop strings cannot be found");
        }
    }

    // One for each completion; the first computes the prompt.
    private Request[] RequestsOf(int[] ids, SamplingParams parameters, RequestScheduling scheduling, LogitRules? rules, HiddenPooling? pooling = null)
    {
        int room = (int)Math.Min(_parts.Capabilities.MaxModelLen - ids.Length, PoolTokens - ids.Length + 1);
        int maxTokens = Math.Min(parameters.MaxTokens ?? room, room);
        int[] stopIds = [.. (parameters.IgnoreEos ? [] : _eosIds).Concat(parameters.StopTokenIds).Distinct().Order()];
        BeamGroup? beams = parameters.UseBeamSearch ? BeamsOf(parameters, maxTokens, stopIds, rules) : null;
        var requests = new Request[parameters.Candidates];
        long firstId = Interlocked.Add(ref _nextId, requests.Length) - requests.Length + 1;
        // Unseeded requests differ from each other, and a run with the same options and order repeats.
        ulong seed = parameters.Seed is { } given and not -1 ? (ulong)given : Mix((ulong)_options.Seed, (ulong)firstId);
        long now = TimeProvider.System.GetTimestamp();
        for (int i = 0; i < requests.Length; i++)
        {
            // The prompt is scored once, and computed for that whatever the cache has.
            bool scores = i == 0 && parameters.ScoresPrompt;
            SamplingParams own = i == 0 ? parameters : parameters with { PromptLogprobs = null, PromptLogprobTokenIds = null };
            var request = new Request(firstId + i, ids, own, maxTokens, stopIds, _parts.KvGroup.BlockSize, seed + (ulong)i, i > 0 ? requests[0] : null)
            {
                Scheduling = scores ? scheduling with { SkipReadingPrefixCache = true } : scheduling,
                // Beams are looked at for bans when they are chosen.
                Rules = beams is null ? rules : null,
                Beams = beams,
                Beam = beams is null ? 0 : i,
                Pooling = pooling,
                Deadline = Deadline(now, _options.RequestTimeout),
                QueueDeadline = Deadline(now, _options.QueueTimeout),
            };
            _parts.Core.Scheduler.Cache.Prefixes?.Prepare(request);
            beams?.Add(request);
            requests[i] = request;
        }

        return requests;
    }

    private BeamGroup BeamsOf(SamplingParams parameters, int maxTokens, int[] stopIds, LogitRules? rules)
    {
        int width = parameters.Candidates;
        string name = parameters.BestOf is null ? "n" : "best_of";
        if (width > _parts.Capabilities.MaxNumSeqs)
        {
            throw new InvalidRequestException(name, $"{name} is {width}, expected 1..{_parts.Capabilities.MaxNumSeqs} with use_beam_search (MaxNumSeqs)");
        }

        if (_options.Scheduler == EngineOptions.StaticScheduler)
        {
            throw new InvalidRequestException("use_beam_search", "use_beam_search is true, expected false with static batching, which takes no beams in while it runs");
        }

        int[][] badWords = rules?.BadWords ?? [];
        long candidates = BeamGroup.CandidatesOf(width, stopIds.Length, badWords.Length, _parts.Config.VocabSize);
        return candidates > SamplingParams.MaxTopLogprobs
            ? throw new InvalidRequestException(
                name,
                $"{name} is {width}, expected at most {Math.Max(SamplingParams.MaxTopLogprobs - stopIds.Length - badWords.Length, 0)} with {stopIds.Length} stop tokens and {badWords.Length} bad words: a beam's step brings {SamplingParams.MaxTopLogprobs} log-probabilities")
            : new BeamGroup(parameters, maxTokens, (int)candidates, badWords);
    }

    // The last tokens of a prompt that count; int.MaxValue = all.
    private int KeptTokens(int? truncate)
    {
        int longest = _parts.Capabilities.MaxModelLen - 1;
        return truncate switch
        {
            null => int.MaxValue,
            -1 => longest,
            { } kept when kept > _parts.Capabilities.MaxModelLen => throw new InvalidRequestException(
                "truncate_prompt_tokens", $"truncate_prompt_tokens is {kept}, expected -1 or 1..{_parts.Capabilities.MaxModelLen} (the context)"),
            { } kept => kept,
        };
    }

    private long PoolTokens => (long)(_parts.NumBlocks - 1) * _parts.KvGroup.BlockSize;

    private int[] TokensOf(Prompt prompt, int kept)
    {
        if (prompt.TokenIds is { } given)
        {
            if (given.Count > kept)
            {
                return [.. given.Skip(given.Count - kept)];
            }

            // Refused before copying: a list can be of any length.
            return given.Count > _parts.Capabilities.MaxModelLen ? throw TooLong(given.Count, _parts.Capabilities.MaxModelLen - 1, "context") : [.. given];
        }

        if (prompt.Text is not { } text)
        {
            throw new InvalidRequestException("prompt", "prompt is empty, expected text or token ids");
        }

        Tokenizer tokenizer = _parts.Tokenizer ?? throw new InvalidRequestException("prompt", "the model has no tokenizer, expected a prompt of token ids");
        int[] ids = tokenizer.Encode(text);
        return ids.Length > kept ? ids[^kept..] : ids;
    }

    private void CheckPrompt(int[] ids, int vocabulary)
    {
        if (ids.Length == 0)
        {
            throw new InvalidRequestException("prompt", "prompt is empty, expected at least 1 token");
        }

        if (ids.Length >= _parts.Capabilities.MaxModelLen)
        {
            throw TooLong(ids.Length, _parts.Capabilities.MaxModelLen - 1, "context");
        }

        if (ids.Length > PoolTokens)
        {
            throw TooLong(ids.Length, PoolTokens, "KV cache");
        }

        for (int i = 0; i < ids.Length; i++)
        {
            if ((uint)ids[i] >= (uint)vocabulary)
            {
                throw new InvalidRequestException("prompt", $"prompt token {i} is {ids[i]}, expected 0..{vocabulary - 1} (the vocabulary)");
            }
        }
    }

    private static InvalidRequestException TooLong(long length, long limit, string what) =>
        new("prompt", $"prompt has {length} tokens, the {what} holds at most {limit}");

    private static long Deadline(long now, TimeSpan? timeout)
    {
        double ticks = (timeout?.TotalSeconds ?? double.PositiveInfinity) * TimeProvider.System.TimestampFrequency;
        return ticks < long.MaxValue - now ? now + (long)ticks : long.MaxValue;
    }

    // SplitMix64: neighbouring inputs give unrelated outputs.
    private static ulong Mix(ulong seed, ulong id)
    {
        ulong x = seed + (id * 0x9E3779B97F4A7C15);
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }
}
