using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Text.Json;
using VllmNative.Requests;
using VllmNative.Steps;

namespace VllmNative.Recording;

/// <summary>Writes a trace: a JSON object a line. Neither text nor token ids go in, names only as <see cref="Pseudonyms"/>.</summary>
internal sealed class TraceWriter : IDisposable
{
    private const int HashBytes = sizeof(ulong);

    private readonly Stream _stream;
    private readonly long _began;
    private readonly Pseudonyms _pseudonyms = new();
    private readonly ArrayBufferWriter<byte> _line = new(4096);
    private readonly Utf8JsonWriter _json;
    private byte[] _hashes = new byte[1024];
    private long _steps;
    private long _requests;

    /// <param name="stream">Disposed with the writer.</param>
    /// <param name="began">Timestamp that counts as second 0.</param>
    internal TraceWriter(Stream stream, long began)
    {
        _stream = stream;
        _began = began;
        _json = new Utf8JsonWriter(_line);
    }

    internal void WriteHeader(TraceHeader header)
    {
        _json.WriteStartObject();
        _json.WriteString("schema", TraceHeader.Schema);
        _json.WriteString("model", header.Model);
        _json.WriteString("device", header.Device);
        _json.WriteNumber("num_blocks", header.NumBlocks);
        _json.WriteNumber("block_size", header.BlockSize);
        _json.WriteNumber("block_bytes", header.BlockBytes);
        _json.WriteNumber("max_num_seqs", header.MaxNumSeqs);
        _json.WriteNumber("max_num_batched_tokens", header.MaxNumBatchedTokens);
        _json.WriteNumber("long_prefill_token_threshold", header.LongPrefillTokenThreshold);
        _json.WriteNumber("max_overtakes", header.MaxOvertakes);
        _json.WriteNumber("max_model_len", header.MaxModelLen);
        _json.WriteNumber("static_row_tokens", header.StaticRowTokens);
        _json.WriteNumber("steps_in_flight", header.StepsInFlight);
        _json.WriteString("scheduling_policy", header.SchedulingPolicy);
        _json.WriteStartObject("user_weights");
        foreach ((string user, double weight) in header.UserWeights)
        {
            _json.WriteNumber(_pseudonyms.OfName(user).ToString(CultureInfo.InvariantCulture), weight);
        }

        _json.WriteEndObject();
        _json.WriteString("eviction_policy", header.EvictionPolicy);
        _json.WriteString("preemption_mode", TraceNames.Of(header.PreemptionMode));
        _json.WriteNumber("swap_blocks", header.SwapBlocks);
        _json.WriteNumber("offload_blocks", header.OffloadBlocks);
        if (header.DiskTier)
        {
            _json.WriteBoolean("disk_tier", true);
        }

        _json.WriteNumber("assumed_swap_bandwidth", header.AssumedSwapBandwidth);
        _json.WriteBoolean("prefix_caching", header.PrefixCaching);
        if (header.TargetInterTokenLatency is { } target)
        {
            _json.WriteNumber("target_inter_token_latency", target);
        }

        EndLine();
    }

    internal void WriteStep(in RecordedStep step, ReadOnlySpan<StepEvent> events)
    {
        _steps++;
        _json.WriteStartObject();
        _json.WriteNumber("step", step.Id);
        WriteSeconds("submitted", step.Submitted);
        WriteSeconds("ended", step.Ended);
        WriteSeconds("seconds", step.Seconds);
        _json.WriteNumber("rows", step.Load.Rows);
        _json.WriteNumber("decode_rows", step.Load.DecodeRows);
        _json.WriteNumber("prefill_tokens", step.Load.PrefillTokens);
        _json.WriteNumber("kv_tokens", step.Load.KvTokens);
        _json.WriteNumber("attention_tokens", step.Load.AttentionTokens);
        _json.WriteNumber("used_blocks", step.UsedBlocks);
        if (step.Failed)
        {
            _json.WriteBoolean("failed", true);
        }

        if (step.SwapBytes > 0)
        {
            _json.WriteNumber("swap_bytes", step.SwapBytes);
            WriteSeconds("swap_seconds", step.SwapSeconds);
        }

        WriteEvents(events);
        EndLine();
    }

    /// <summary>Writes a request that has ended: its tokens do not change any more.</summary>
    internal void WriteRequest(Request request, FinishReason reason, int blockSize)
    {
        _requests++;
        RequestTimings timings = request.Timings;
        RequestScheduling scheduling = request.Scheduling;
        _json.WriteStartObject();
        _json.WriteNumber("request", request.Id);
        WriteSeconds("arrived", SecondsAt(timings.Arrived));
        if (timings.Queued != 0)
        {
            WriteSeconds("queued", SecondsAt(timings.Queued));
        }

        if (timings.Scheduled != 0)
        {
            WriteSeconds("scheduled", SecondsAt(timings.Scheduled));
        }

        if (timings.FirstToken != 0)
        {
            WriteSeconds("first_token", SecondsAt(timings.FirstToken));
        }

        WriteSeconds("ended", SecondsAt(timings.LastToken));
        _json.WriteString("finish_reason", TraceNames.Of(reason));
        _json.WriteNumber("prompt", request.PromptLength);
        _json.WriteNumber("max_tokens", request.MaxTokens);
        // What the beams' last step chose is not part of their tokens.
        _json.WriteNumber("output", request.Beams?.Length ?? request.OutputLength);
        WriteGroup(request);
        _json.WriteNumber("priority", scheduling.Priority);
        WriteName("user", scheduling.User);
        WriteName("salt", scheduling.CacheSalt);
        if (scheduling.SkipReadingPrefixCache)
        {
            _json.WriteBoolean("skip_reading_prefix_cache", true);
        }

        _json.WriteNumber("cached", Math.Max(request.CachedTokens, 0));
        if (request.HostCachedTokens > 0)
        {
            _json.WriteNumber("host_cached", request.HostCachedTokens);
        }

        _json.WriteNumber("preemptions", request.Preemptions);
        WriteBlocks(request, blockSize);
        EndLine();
    }

    /// <summary>Writes what was asked of the prefix cache.</summary>
    internal void WriteOrder(in CacheOrder order)
    {
        _json.WriteStartObject();
        if (order.RequestId is { } id)
        {
            _json.WriteNumber("pin", id);
            WriteSeconds("at", order.At);
            WriteSeconds("time_to_live", order.TimeToLive);
        }
        else
        {
            WriteSeconds("reset", order.At);
        }

        EndLine();
    }

    /// <summary>Writes the last line.</summary>
    internal void WriteTotals(long droppedSteps, long droppedRequests, long droppedOrders, long ended)
    {
        _json.WriteStartObject();
        _json.WriteStartObject("totals");
        _json.WriteNumber("steps", _steps);
        _json.WriteNumber("requests", _requests);
        _json.WriteNumber("dropped_steps", droppedSteps);
        _json.WriteNumber("dropped_requests", droppedRequests);
        _json.WriteNumber("dropped_orders", droppedOrders);
        WriteSeconds("seconds", SecondsAt(ended));
        _json.WriteEndObject();
        EndLine();
    }

    internal void Flush() => _stream.Flush();

    public void Dispose()
    {
        _json.Dispose();
        _stream.Dispose();
    }

    internal double SecondsAt(long timestamp) => (timestamp - _began) / (double)TimeProvider.System.TimestampFrequency;

    private void WriteEvents(ReadOnlySpan<StepEvent> events)
    {
        if (events.IsEmpty)
        {
            return;
        }

        _json.WriteStartArray("events");
        foreach (StepEvent happened in events)
        {
            _json.WriteStartArray();
            _json.WriteStringValue(TraceNames.Of(happened.Kind));
            _json.WriteNumberValue(happened.RequestId);
            _json.WriteNumberValue(happened.Count);
            _json.WriteEndArray();
        }

        _json.WriteEndArray();
    }

    // The search stands for its beams, and other completions name the first.
    private void WriteGroup(Request request)
    {
        if (request.Beams is { } beams)
        {
            _json.WriteNumber("beams", beams.Width);
        }
        else if (request.Parent is { } parent)
        {
            _json.WriteNumber("parent", parent.Id);
        }
    }

    private void WriteBlocks(Request request, int blockSize)
    {
        int count = (request.Beams is null ? request.Length : request.PromptLength) / blockSize;
        if (_hashes.Length < count * HashBytes)
        {
            _hashes = new byte[Math.Max(count * HashBytes, 2 * _hashes.Length)];
        }

        ReadOnlySpan<int> tokens = request.Tokens.Span;
        for (int i = 0; i < count; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(_hashes.AsSpan(i * HashBytes), _pseudonyms.OfBlock(tokens.Slice(i * blockSize, blockSize)));
        }

        _json.WriteBase64String("blocks", _hashes.AsSpan(0, count * HashBytes));
    }

    private void WriteName(string property, string? name)
    {
        if (name is not null)
        {
            _json.WriteNumber(property, _pseudonyms.OfName(name));
        }
    }

    private void WriteSeconds(string property, double seconds) => _json.WriteNumber(property, Math.Round(seconds, 9));

    private void EndLine()
    {
        _json.WriteEndObject();
        _json.Flush();
        _line.GetSpan(1)[0] = (byte)'\n';
        _line.Advance(1);
        _stream.Write(_line.WrittenSpan);
        _line.ResetWrittenCount();
        _json.Reset();
    }
}
