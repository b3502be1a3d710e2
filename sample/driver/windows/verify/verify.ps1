<#
.SYNOPSIS
Holds the sample's driver against a real Windows, with Driver Verifier, and makes a report to send back.

.DESCRIPTION
In a virtual machine that may crash, with a snapshot, two processors or more, Windows 10 2004 or later, x64, as an administrator:

    .\verify.ps1 -Prepare     # a test certificate, test signing, Driver Verifier; then restart
    .\verify.ps1              # a quarter of an hour; leaves report.zip beside this script
    .\verify.ps1 -Undo        # takes all of it back; then restart

Beside this script lie gatebell_sample.sys and gatebell_sample.pdb (target\drivers), gatebell-sample-app.exe (target\windows) and
promises.exe (target\wine). With a Windows Driver Kit and cl.exe on the path, offsets.c is compiled and compared too.

If Windows stops with a blue screen, start it again and run the script once more: it finds the dump and puts it into the report.
#>
[CmdletBinding(DefaultParameterSetName = 'Run')]
param(
    [Parameter(ParameterSetName = 'Prepare')][switch]$Prepare,
    [Parameter(ParameterSetName = 'Undo')][switch]$Undo,
    [Parameter(ParameterSetName = 'Run')][ValidateRange(1, 1000)][int]$Rounds = 50
)
Set-StrictMode -Version 3
$ErrorActionPreference = 'Stop'

$here = $PSScriptRoot
$service = 'GatebellSample'
$image = Join-Path $here 'gatebell_sample.sys'
$loaded = Join-Path $env:SystemRoot 'System32\drivers\GatebellSample.sys'
$app = Join-Path $here 'gatebell-sample-app.exe'
$promises = Join-Path $here 'promises.exe'
$subject = 'CN=Gatebell sample, test only'
$otherUser = 'GatebellVerify'
# Special pool, force IRQL, pool tracking, I/O, deadlocks, security, DDI compliance: what `verifier /standard` asks for.
$standard = '0x209BB'

$principal = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
if (-not $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
    throw 'Run this as an administrator.'
}

function Invoke-Tool([string]$Tool, [string[]]$Arguments) {
    $text = & $Tool @Arguments 2>&1 | Out-String
    [pscustomobject]@{ Code = $LASTEXITCODE; Text = $text.Trim() }
}

function Get-TestCertificate {
    Get-ChildItem Cert:\LocalMachine\My | Where-Object Subject -EQ $subject | Select-Object -First 1
}

function Install-Prepared {
    foreach ($file in $image, $app, $promises) {
        if (-not (Test-Path $file)) { throw "$file is missing: see the top of this script." }
    }
    $certificate = Get-TestCertificate
    if (-not $certificate) {
        $certificate = New-SelfSignedCertificate -Type CodeSigningCert -Subject $subject -CertStoreLocation Cert:\LocalMachine\My
        $public = Join-Path $env:TEMP 'gatebell-sample.cer'
        $null = Export-Certificate -Cert $certificate -FilePath $public
        foreach ($store in 'Root', 'TrustedPublisher') {
            $null = Import-Certificate -FilePath $public -CertStoreLocation "Cert:\LocalMachine\$store"
        }
        Remove-Item $public
    }
    $signed = Set-AuthenticodeSignature -FilePath $image -Certificate $certificate -HashAlgorithm SHA256
    if ($signed.Status -ne 'Valid') { throw "The driver could not be signed: $($signed.StatusMessage)" }
    $testing = Invoke-Tool bcdedit.exe @('/set', 'testsigning', 'on')
    if ($testing.Code -ne 0) { throw "$($testing.Text)  (With Secure Boot on, test signing is refused: turn it off for this machine.)" }
    # By the name under which the driver is loaded.
    $verifier = Invoke-Tool verifier.exe @('/flags', $standard, '/driver', 'GatebellSample.sys')
    Write-Output $verifier.Text
    Write-Output 'Prepared. Restart, then run the script without arguments.'
}

function Uninstall-Prepared {
    $null = Invoke-Tool sc.exe @('stop', $service)
    $null = Invoke-Tool sc.exe @('delete', $service)
    Remove-Item $loaded -ErrorAction SilentlyContinue
    $null = Invoke-Tool verifier.exe @('/reset')
    $null = Invoke-Tool bcdedit.exe @('/set', 'testsigning', 'off')
    foreach ($store in 'My', 'Root', 'TrustedPublisher') {
        Get-ChildItem "Cert:\LocalMachine\$store" | Where-Object Subject -EQ $subject | Remove-Item
    }
    Remove-LocalUser -Name $otherUser -ErrorAction SilentlyContinue
    Write-Output 'Taken back. Restart.'
}

# One line for each thing that was tried, on the screen and in the report.
$results = [Collections.Generic.List[object]]::new()
function Add-Result([string]$What, [bool]$Holds, [string]$Saw) {
    $results.Add([pscustomobject]@{ what = $What; holds = $Holds; saw = $Saw })
    Write-Output ('{0}  {1}  {2}' -f $(if ($Holds) { 'holds ' } else { 'BROKEN' }), $What, $Saw)
}

function Test-Step([string]$What, [scriptblock]$Step) {
    try {
        $saw = & $Step
        Add-Result $What $true "$saw"
    } catch {
        Add-Result $What $false $_.Exception.Message
    }
}

function Assert-Tool([string]$Tool, [string[]]$Arguments) {
    $ran = Invoke-Tool $Tool $Arguments
    if ($ran.Code -ne 0) { throw "$Tool $Arguments ended with $($ran.Code): $($ran.Text)" }
    $ran.Text
}

function Start-Driver { $null = Assert-Tool sc.exe @('start', $service) }

# `sc stop` returns before the driver is unloaded; one that can't be is what this looks for.
function Stop-Driver {
    $null = Assert-Tool sc.exe @('stop', $service)
    $end = (Get-Date).AddSeconds(10)
    while ((Invoke-Tool sc.exe @('query', $service)).Text -notmatch 'STATE\s+: 1 ') {
        if ((Get-Date) -gt $end) { throw 'The driver is not unloaded ten seconds after it was stopped.' }
        Start-Sleep -Milliseconds 20
    }
}

Add-Type -Namespace Gatebell -Name Native -MemberDefinition @'
[DllImport("ntdll.dll")] public static extern int NtSuspendProcess(IntPtr process);
[DllImport("ntdll.dll")] public static extern int NtResumeProcess(IntPtr process);
'@

function Test-Offsets {
    if (-not (Get-Command cl.exe -ErrorAction SilentlyContinue)) { throw 'Not tried: no cl.exe on the path (a prompt of the WDK has it).' }
    $program = Join-Path $env:TEMP 'gatebell-offsets.exe'
    # The driver's headers lie beside those of the SDK, whose prompt says where that is.
    $headers = Join-Path $env:WindowsSdkDir "Include\$env:WindowsSDKVersion\km"
    $null = Assert-Tool cl.exe @('/nologo', "/Fe$program", "/Fo$program.obj", '/D_AMD64_', '/D_WIN64', "/I$headers", (Join-Path $here 'offsets.c'))
    Assert-Tool $program @()
}

function Test-Promises {
    $text = (Invoke-Tool $promises @()).Text
    Set-Content (Join-Path $here 'promises.txt') $text
    # What needs Wine's stand-in, or a second image that is signed, can't be kept here.
    $elsewhere = 'a_stop_that_windows_refuses_is_undone|what_one_app_says_to_the_pager|a_c_program_reads'
    $broken = @($text -split "`r?`n" | Where-Object { $_ -match '^promise \S+ broken' -and $_ -notmatch $elsewhere })
    $kept = @($text -split "`r?`n" | Where-Object { $_ -match '^promise \S+ kept' })
    if ($broken.Count -gt 0 -or $kept.Count -eq 0) { throw ("{0} kept; {1}" -f $kept.Count, ($broken -join '; ')) }
    "$($kept.Count) kept"
}

# An app in the middle of its operations is killed, or held still and then killed, at another moment each time.
function Test-Round([int]$Round) {
    Start-Driver
    $process = Start-Process $app -ArgumentList '--headless' -PassThru -WindowStyle Hidden
    Start-Sleep -Milliseconds (13 * $Round % 700)
    if ($Round % 3 -eq 1 -and -not $process.HasExited) {
        $null = [Gatebell.Native]::NtSuspendProcess($process.Handle)
        Start-Sleep -Milliseconds 200
    }
    if ($Round % 3 -ne 0 -and -not $process.HasExited) { $process.Kill() }
    if (-not $process.WaitForExit(60000)) { throw "Round ${Round}: the app does not end." }
    Stop-Driver
}

function Test-TwoUsers {
    $password = ConvertTo-SecureString ([Guid]::NewGuid().ToString() + 'aA1!') -AsPlainText -Force
    $null = New-LocalUser -Name $otherUser -Password $password -Description 'Gatebell: test only'
    try {
        # Where that user may read it.
        $copy = Join-Path $env:PUBLIC 'gatebell-sample-app.exe'
        Copy-Item $app $copy -Force
        $credential = [pscredential]::new($otherUser, $password)
        $theirs = Start-Process $copy -ArgumentList '--headless' -Credential $credential -PassThru -WorkingDirectory $env:PUBLIC
        $ours = Start-Process $app -ArgumentList '--headless' -PassThru -WindowStyle Hidden
        $codes = foreach ($process in $theirs, $ours) {
            $null = $process.Handle
            if (-not $process.WaitForExit(120000)) { throw 'An app does not end.' }
            $process.ExitCode
        }
        if (($codes | Measure-Object -Sum).Sum -ne 0) { throw "exit codes: $codes" }
        'each got its own'
    } finally {
        Remove-LocalUser -Name $otherUser
        Remove-Item (Join-Path $env:PUBLIC 'gatebell-sample-app.exe') -ErrorAction SilentlyContinue
    }
}

function Write-Report {
    $folder = Join-Path $env:TEMP 'gatebell-report'
    Remove-Item $folder -Recurse -ErrorAction SilentlyContinue
    $null = New-Item $folder -ItemType Directory
    $results | ConvertTo-Json | Set-Content (Join-Path $folder 'results.json')
    (Invoke-Tool verifier.exe @('/query')).Text | Set-Content (Join-Path $folder 'verifier.txt')
    $about = Get-CimInstance Win32_OperatingSystem | Select-Object -Property @('Caption', 'Version', 'BuildNumber', 'OSArchitecture')
    $about | ConvertTo-Json | Set-Content (Join-Path $folder 'windows.json')
    (Get-FileHash $image).Hash | Set-Content (Join-Path $folder 'driver-sha256.txt')
    Copy-Item (Join-Path $here 'promises.txt') $folder -ErrorAction SilentlyContinue
    Get-ChildItem (Join-Path $env:SystemRoot 'Minidump') -Filter *.dmp -ErrorAction SilentlyContinue | Copy-Item -Destination $folder
    $zip = Join-Path $here 'report.zip'
    Compress-Archive -Path (Join-Path $folder '*') -DestinationPath $zip -Force
    Write-Output "Please send back $zip. It names this Windows and holds crash dumps, if there were any; nothing else of this machine."
}

function Test-Everything {
    Test-Step 'the layouts that the driver was written with are those of the WDK' { Test-Offsets }
    Test-Step 'Driver Verifier watches it' {
        $query = (Invoke-Tool verifier.exe @('/querysettings')).Text
        if ($query -notmatch 'GatebellSample\.sys') { throw 'Not so: run with -Prepare, and restart.' }
        'yes'
    }
    Test-Step 'promises, among them CancelIoEx and an app that is killed' { Test-Promises }
    Test-Step 'it is installed' {
        Copy-Item $image $loaded -Force
        $null = Assert-Tool sc.exe @('create', $service, 'type=', 'kernel', 'start=', 'demand', 'binPath=', $loaded)
        'yes'
    }
    Test-Step "it is started and stopped $Rounds times, with an app killed or held still" {
        foreach ($round in 1..$Rounds) { Test-Round $round }
        "$Rounds rounds"
    }
    Test-Step 'two users at once' {
        Start-Driver
        try { Test-TwoUsers } finally { Stop-Driver }
    }
    Test-Step 'it is removed' {
        $null = Assert-Tool sc.exe @('delete', $service)
        Remove-Item $loaded
        'yes'
    }
    Write-Report
}

if ($Prepare) { Install-Prepared } elseif ($Undo) { Uninstall-Prepared } else { Test-Everything }
