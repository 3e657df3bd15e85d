using VllmNative.Bench.Serving;
using VllmNative.Diagnostics;
using VllmNative.Engine;
using Xunit;

namespace VllmNative.Tests.Bench.Serving;

/// <summary>What is filled in where nothing was said, and what is refused.</summary>
public sealed class LatencySettingsTests
{
    private static readonly LatencySettings Settings = new()
    {
        Engine = new EngineOptions { Model = "m" },
        Batches = [1, 8],
        Context = 100,
        Output = 20,
        Prompts = [64, 500],
        Repeats = 3,
    };

    [Fact]
    public void EngineHasRoomForTheLargestBatchAndTheLongestRequest()
    {
        EngineOptions options = Settings.EngineOptionsFor();
        Assert.Equal((8, 501), (options.MaxNumSeqs, options.MaxModelLen));
        Assert.Equal(120, (Settings with { Prompts = [] }).EngineOptionsFor().MaxModelLen);
        Assert.Equal((1, 501), ((Settings with { Batches = [] }).EngineOptionsFor() is var alone ? alone.MaxNumSeqs : 0, alone.MaxModelLen));
    }

    [Fact]
    public void WhatWasSaid_Stays()
    {
        EngineOptions options = (Settings with { Engine = new EngineOptions { Model = "m", MaxNumSeqs = 16, MaxModelLen = 2000 } }).EngineOptionsFor();
        Assert.Equal((16, 2000), (options.MaxNumSeqs, options.MaxModelLen));
    }

    [Fact]
    public void BadValues_AreNamedByTheirOptions()
    {
        AssertRefused(Settings with { Batches = [4, 0] }, "--batch is 4,0, expected 1 or more each");
        AssertRefused(Settings with { Prompts = [0] }, "--prompt is 0, expected 1 or more each");
        AssertRefused(Settings with { Prompts = [], Batches = [] }, "--batch and --prompt is empty, expected a number in one of them");
        AssertRefused(Settings with { Context = 0 }, "--context is 0, expected 1 or more");
        AssertRefused(Settings with { Output = 1 }, "--output is 1, expected 2 or more: the time between two tokens is measured");
        AssertRefused(Settings with { Repeats = 0 }, "--repeats is 0, expected 1 or more");
        AssertRefused(Settings with { Engine = Settings.Engine with { MaxNumSeqs = 4 } }, "--max-num-seqs is 4, expected 8 or more, the largest batch");
    }

    private static void AssertRefused(LatencySettings settings, string message) => Assert.Equal(message, Assert.Throws<VllmException>(settings.Validate).Message);
}
