using System.Text;
using System.Text.Json;
using VllmNative.Simulation;

namespace VllmNative.Cli.Rendering;

/// <summary>A simulation for programs: one JSON object, times in seconds, shares 0..1.</summary>
internal static class SimulationJson
{
    internal static void Write(TextWriter output, SimulationReport report)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteString("model", report.Model);
            json.WriteString("device", report.Device);
            json.WriteNumber("left_out", report.LeftOut);
            json.WriteNumber("dropped_steps", report.DroppedSteps);
            json.WriteNumber("dropped_requests", report.DroppedRequests);
            Write(json, "recorded", report.Recorded);
            Write(json, "simulated", report.Replayed);
            if (report.Changed is { } changed)
            {
                Write(json, "changed", changed);
            }

            json.WriteEndObject();
        }

        output.WriteLine(Encoding.UTF8.GetString(stream.ToArray()));
    }

    private static void Write(Utf8JsonWriter json, string name, ServingFigures figures)
    {
        json.WriteStartObject(name);
        json.WriteNumber("requests", figures.Requests);
        json.WriteNumber("output_tokens", figures.OutputTokens);
        json.WriteNumber("seconds", figures.Seconds);
        json.WriteNumber("requests_per_second", figures.RequestsPerSecond);
        json.WriteNumber("output_tokens_per_second", figures.OutputTokensPerSecond);
        Write(json, "ttft", figures.TimeToFirstToken);
        Write(json, "itl", figures.InterTokenLatency);
        Write(json, "tpot", figures.TimePerOutputToken);
        Write(json, "end_to_end", figures.EndToEnd);
        json.WriteNumber("peak_kv_use", figures.PeakKvUse);
        json.WriteNumber("mean_kv_use", figures.MeanKvUse);
        json.WriteNumber("preemptions", figures.Preemptions);
        json.WriteNumber("prefix_hit_tokens", figures.PrefixHitTokens);
        json.WriteNumber("prefix_hit_rate", figures.PrefixHitRate);
        json.WriteNumber("steps", figures.Steps);
        json.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter json, string name, Percentiles seconds)
    {
        json.WriteStartObject(name);
        json.WriteNumber("p50", seconds.P50);
        json.WriteNumber("p90", seconds.P90);
        json.WriteNumber("p99", seconds.P99);
        json.WriteEndObject();
    }
}
