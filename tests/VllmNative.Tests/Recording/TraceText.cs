using System.Text;
using VllmNative.Recording;

namespace VllmNative.Tests.Recording;

/// <summary>Traces that are written by hand.</summary>
internal static class TraceText
{
    internal const string Header =
        """{"schema":"vllm-native-trace/1","model":"m","device":"cpu","num_blocks":64,"block_size":4,"block_bytes":1024,"max_num_seqs":4,"max_num_batched_tokens":64,"long_prefill_token_threshold":0,"max_overtakes":16,"max_model_len":128,"static_row_tokens":0,"steps_in_flight":1,"scheduling_policy":"fcfs","user_weights":{},"eviction_policy":"lru","preemption_mode":"auto","swap_blocks":0,"offload_blocks":0,"assumed_swap_bandwidth":1000000000,"prefix_caching":true}""";

    internal static string Step(long id, double submitted, double seconds = 0.01, int rows = 1, int decodeRows = 1, int prefillTokens = 0, int kvTokens = 10) =>
        FormattableString.Invariant(
            $$"""{"step":{{id}},"submitted":{{submitted}},"ended":{{submitted + seconds}},"seconds":{{seconds}},"rows":{{rows}},"decode_rows":{{decodeRows}},"prefill_tokens":{{prefillTokens}},"kv_tokens":{{kvTokens}},"attention_tokens":{{prefillTokens * prefillTokens / 2}},"used_blocks":3}""");

    /// <param name="blocks">A hash for each full block of 4.</param>
    internal static string Request(long id, double arrived, int prompt, int output, ulong[] blocks, int maxTokens = 32, string more = "") =>
        FormattableString.Invariant(
            $$"""{"request":{{id}},"arrived":{{arrived}},"first_token":{{arrived + 0.01}},"ended":{{arrived + (0.01 * output)}},"finish_reason":"stop","prompt":{{prompt}},"max_tokens":{{maxTokens}},"output":{{output}},"priority":0,"cached":0,"preemptions":0{{more}},"blocks":"{{Convert.ToBase64String(blocks.SelectMany(BitConverter.GetBytes).ToArray())}}"}""");

    internal static RecordedTrace Parse(params string[] lines)
    {
        using var stream = new MemoryStream(Encoding.UTF8.GetBytes(string.Concat(lines.Select(line => line + "\n"))));
        return TraceReader.Read(stream, "t.jsonl");
    }
}
