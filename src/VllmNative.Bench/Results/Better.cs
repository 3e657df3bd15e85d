using System.Text.Json.Serialization;

namespace VllmNative.Bench.Results;

/// <summary>Which direction of a figure is progress.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<Better>))]
internal enum Better
{
    /// <summary>A rate.</summary>
    [JsonStringEnumMemberName("higher")]
    Higher,

    /// <summary>A time or a cost.</summary>
    [JsonStringEnumMemberName("lower")]
    Lower,
}
