using System.Buffers.Binary;
using System.Text.Json;
using VllmNative.Cache.Eviction;
using VllmNative.Diagnostics;
using VllmNative.Scheduling;
using VllmNative.Scheduling.Policies;

namespace VllmNative.Recording;

/// <summary>Reads a trace. It comes from outside: every value is checked here, and what is kept is bounded.</summary>
internal sealed class TraceReader
{
    // Bounds of what is kept of a trace.
    internal const int MaxRequests = 1_000_000;
    private const int MaxSteps = 4_000_000;
    private const int MaxOrders = 1_000_000;
    private const long MaxBlockHashes = 1 << 25;

    // Longest prompt, and longest output.
    private const int MaxTokens = 1 << 20;

    /// <summary>Tokens of KV that an engine of a trace has at most, on the device and for the prefix cache in host memory.</summary>
    internal const long MaxKvTokens = 1 << 27;

    /// <summary>KV blocks on the device, and as many for each use in host memory.</summary>
    internal const int MaxBlocks = 1 << 22;

    // Widest beam search.
    private const int MaxBeams = 128;

    private const int MaxUsers = 65536;

    private static readonly JsonDocumentOptions Options = new() { MaxDepth = 8, AllowDuplicateProperties = false };

    private readonly string _file;
    private readonly List<RecordedRequest> _requests = [];
    private readonly List<RecordedStep> _steps = [];
    private readonly List<CacheOrder> _orders = [];
    private TraceHeader? _header;
    private long _blockHashes;
    private long _droppedSteps;
    private long _droppedRequests;
    private long _droppedOrders;

    private TraceReader(string file) => _file = file;

    /// <exception cref="VllmException">The file cannot be read, or a line of it breaks a rule.</exception>
    internal static RecordedTrace Read(string path)
    {
        try
        {
            using FileStream stream = File.OpenRead(path);
            return Read(stream, path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
        {
            throw new VllmException($"{path}: cannot be read: {e.Message.ReplaceLineEndings(" ")}", e);
        }
    }

    /// <param name="stream">The trace.</param>
    /// <param name="file">What errors call it.</param>
    /// <exception cref="VllmException">A line breaks a rule.</exception>
    internal static RecordedTrace Read(Stream stream, string file) => new TraceReader(file).Read(new TraceLines(stream, file));

    private RecordedTrace Read(TraceLines lines)
    {
        while (lines.TryRead(out ReadOnlyMemory<byte> line))
        {
            try
            {
                using JsonDocument document = JsonDocument.Parse(line, Options);
                if (document.RootElement.ValueKind != JsonValueKind.Object)
                {
                    throw TraceFields.Error(_file, lines.Line, "is not a JSON object");
                }

                Take(new TraceFields(_file, lines.Line, document.RootElement));
            }
            catch (JsonException) when (!lines.Complete && lines.Line > 1)
            {
                // The recording was cut off while it wrote this line.
                break;
            }
            catch (JsonException e)
            {
                throw TraceFields.Error(_file, lines.Line, "is not valid JSON: " + e.Message.ReplaceLineEndings(" "));
            }
            catch (InvalidOperationException)
            {
                // An escaped half of a surrogate pair, in a name or a value.
                throw TraceFields.Error(_file, lines.Line, "holds a string that is not valid Unicode");
            }
        }

        return new RecordedTrace
        {
            Header = _header ?? throw TraceFields.Error(_file, 1, $"schema is missing, expected \"{TraceHeader.Schema}\""),
            Requests = [.. _requests.OrderBy(request => request.Arrived).ThenBy(request => request.Id)],
            Steps = [.. _steps.OrderBy(step => step.Id)],
            Orders = [.. _orders.OrderBy(order => order.At)],
            DroppedSteps = _droppedSteps,
            DroppedRequests = _droppedRequests,
            DroppedOrders = _droppedOrders,
        };
    }

    private void Take(TraceFields fields)
    {
        if (_header is null)
        {
            _header = HeaderOf(fields);
        }
        else if (fields.Has("step"))
        {
            _steps.Add(_steps.Count < MaxSteps ? StepOf(fields) : throw fields.Error("step", $"is one too many, expected at most {MaxSteps} steps"));
        }
        else if (fields.Has("request"))
        {
            _requests.Add(_requests.Count < MaxRequests ? RequestOf(fields) : throw fields.Error("request", $"is one too many, expected at most {MaxRequests} requests"));
        }
        else if (fields.Has("pin") || fields.Has("reset"))
        {
            string name = fields.Has("pin") ? "pin" : "reset";
            _orders.Add(_orders.Count < MaxOrders ? OrderOf(fields, name) : throw fields.Error(name, $"is one too many, expected at most {MaxOrders} of pin and reset"));
        }
        else
        {
            TraceFields totals = fields.Object("totals");
            _droppedSteps = totals.Long("dropped_steps", 0, long.MaxValue);
            _droppedRequests = totals.Long("dropped_requests", 0, long.MaxValue);
            _droppedOrders = totals.Has("dropped_orders") ? totals.Long("dropped_orders", 0, long.MaxValue) : 0;
        }
    }

    private static TraceHeader HeaderOf(TraceFields fields)
    {
        fields.OneOf("schema", [TraceHeader.Schema]);
        var header = new TraceHeader
        {
            Model = fields.Text("model"),
            Device = fields.Text("device"),
            NumBlocks = fields.Integer("num_blocks", 2, MaxBlocks),
            BlockSize = fields.Integer("block_size", 1, 256),
            BlockBytes = fields.Long("block_bytes", 0, 1L << 40),
            MaxNumSeqs = fields.Integer("max_num_seqs", 1, 65536),
            MaxNumBatchedTokens = fields.Integer("max_num_batched_tokens", 1, 1 << 20),
            LongPrefillTokenThreshold = fields.Integer("long_prefill_token_threshold", 0, int.MaxValue),
            MaxOvertakes = fields.Integer("max_overtakes", 0, 1_000_000),
            MaxModelLen = fields.Integer("max_model_len", 1, int.MaxValue),
            StaticRowTokens = fields.Integer("static_row_tokens", 0, (int)MaxKvTokens),
            StepsInFlight = fields.Integer("steps_in_flight", 1, 8),
            SchedulingPolicy = fields.OneOf("scheduling_policy", SchedulingPolicies.Names),
            UserWeights = WeightsOf(fields),
            EvictionPolicy = fields.OneOf("eviction_policy", EvictionPolicies.Names),
            PreemptionMode = TraceNames.PreemptionMode(fields.OneOf("preemption_mode", TraceNames.PreemptionModes)),
            SwapBlocks = fields.Integer("swap_blocks", 0, MaxBlocks),
            OffloadBlocks = fields.Integer("offload_blocks", 0, MaxBlocks),
            DiskTier = fields.Flag("disk_tier"),
            AssumedSwapBandwidth = fields.Number("assumed_swap_bandwidth", 1, 1e15),
            PrefixCaching = fields.Flag("prefix_caching"),
            TargetInterTokenLatency = fields.Has("target_inter_token_latency") ? fields.Number("target_inter_token_latency", 1e-6, 60) : null,
        };
        long tokens = ((long)header.NumBlocks + header.IndexedHostBlocks) * header.BlockSize;
        return tokens <= MaxKvTokens ? header : throw fields.Error("num_blocks", $"and the prefix cache's host blocks hold {tokens} tokens, expected at most {MaxKvTokens}");
    }

    private static Dictionary<string, double> WeightsOf(TraceFields fields)
    {
        Dictionary<string, double> result = [];
        foreach ((string user, double weight) in fields.Object("user_weights").Numbers(1e-9, 1e9))
        {
            result.Add(user, weight);
            if (result.Count > MaxUsers)
            {
                throw fields.Error("user_weights", $"has more than {MaxUsers} users");
            }
        }

        return result;
    }

    private static RecordedStep StepOf(TraceFields fields)
    {
        int rows = fields.Integer("rows", 0, 65536);
        return new RecordedStep
        {
            Id = fields.Long("step", 0, long.MaxValue),
            Submitted = fields.Seconds("submitted"),
            Ended = fields.Seconds("ended"),
            Seconds = fields.Seconds("seconds"),
            Load = new StepLoad(
                rows,
                fields.Integer("decode_rows", 0, rows),
                fields.Integer("prefill_tokens", 0, 1 << 20),
                fields.Long("kv_tokens", 0, 1L << 40),
                fields.Number("attention_tokens", 0, 1e15)),
            UsedBlocks = fields.Integer("used_blocks", 0, MaxBlocks),
            Failed = fields.Flag("failed"),
            SwapBytes = fields.Has("swap_bytes") ? fields.Long("swap_bytes", 0, 1L << 50) : 0,
            SwapSeconds = fields.Has("swap_bytes") ? fields.Seconds("swap_seconds") : 0,
        };
    }

    private static CacheOrder OrderOf(TraceFields fields, string name) => name == "reset"
        ? new CacheOrder(fields.Seconds("reset"), null, 0)
        : new CacheOrder(fields.Seconds("at"), fields.Long("pin", 0, long.MaxValue), fields.Seconds("time_to_live"));

    private RecordedRequest RequestOf(TraceFields fields)
    {
        int prompt = fields.Integer("prompt", 1, MaxTokens);
        int maxTokens = fields.Integer("max_tokens", 1, MaxTokens);
        int output = fields.Integer("output", 0, maxTokens);
        double arrived = fields.Seconds("arrived");
        double ended = fields.Number("ended", arrived, TraceFields.MaxSeconds);
        int cached = fields.Integer("cached", 0, prompt + output);
        // Beams are refused with static batching; otherwise rows for all of them must come free one day.
        int beams = fields.Has("beams") ? fields.Integer("beams", 1, _header!.StaticRowTokens > 0 ? 0 : Math.Min(MaxBeams, _header.MaxNumSeqs)) : 0;
        return new RecordedRequest
        {
            Id = fields.Long("request", 0, long.MaxValue),
            Arrived = arrived,
            Queued = fields.Has("queued") ? fields.Number("queued", arrived, ended) : arrived,
            Parent = fields.Has("parent") ? fields.Long("parent", 0, long.MaxValue) : null,
            Beams = beams,
            FirstToken = fields.Has("first_token") ? fields.Number("first_token", arrived, ended) : null,
            Ended = ended,
            PromptLength = prompt,
            MaxTokens = maxTokens,
            OutputLength = output,
            Priority = fields.Integer("priority", int.MinValue, int.MaxValue),
            User = fields.Name("user"),
            Salt = fields.Name("salt"),
            SkipReadingPrefixCache = fields.Flag("skip_reading_prefix_cache"),
            CachedTokens = cached,
            HostCachedTokens = fields.Has("host_cached") ? fields.Integer("host_cached", 0, cached) : 0,
            Preemptions = fields.Integer("preemptions", 0, int.MaxValue),
            Blocks = BlocksOf(fields, (beams > 0 ? prompt : prompt + output) / _header!.BlockSize),
        };
    }

    private ulong[] BlocksOf(TraceFields fields, int count)
    {
        byte[] bytes = fields.Bytes("blocks");
        if (bytes.Length != count * sizeof(ulong))
        {
            throw fields.Error("blocks", $"has {bytes.Length} bytes, expected {count * sizeof(ulong)}: 8 for each of {count} full blocks");
        }

        _blockHashes += count;
        if (_blockHashes > MaxBlockHashes)
        {
            throw fields.Error("blocks", $"is too many, expected at most {MaxBlockHashes} blocks in a trace");
        }

        var hashes = new ulong[count];
        for (int i = 0; i < count; i++)
        {
            hashes[i] = BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(i * sizeof(ulong)));
        }

        return hashes;
    }
}
